"""Many steps in one call: one step is compiled, however many are taken."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop, while_loop_op

from vae_fn import tree
from vae_fn.compiling.gemm import Gemm
from vae_fn.compiling.pure import Backend
from vae_fn.compiling.step import compile_step, computed
from vae_fn.types import Tree

Step = Callable[..., tuple[Tree, Tree]]


def compile_epoch(
    step: Step, *, longest: int, donate: bool = True, gemm: Gemm | None = None, backend: Backend = "inductor"
) -> Callable[..., tuple[Tree, Tree]]:
    """Compile the repetition of a step as one graph: `(state, count, *inputs) -> (state, infos)`.

    The numbers are those of `count` single steps, to the bit. The inputs are the same in all of them: what differs from
    step to step, such as the batch and the noise, follows from the state, which counts the steps.

    Args:
        step: a pure step `(state, *inputs) -> (state, info)`, as for `compile_step`.
        longest: the most steps of a call. Any count up to it runs the same program.
        donate: as in `compile_step`.
        gemm: as in `compile_pure`.
        backend: as in `compile_pure`.

    Returns:
        A function of a state, the number of steps and the inputs. Every leaf of `infos` has the steps in front. It
        raises a `ValueError` if the number is not in 1 to `longest`, or two tensors share memory.
    """
    options = _kept_on_disk() if backend == "inductor" else None
    compiled = compile_step(_repeated(step), donate=donate, gemm=gemm, backend=backend, options=options)
    blanks: dict[Any, Tree] = {}

    def run(state: Tree, count: int, *inputs: Any) -> tuple[Tree, Tree]:
        if not 1 <= count <= longest:
            raise ValueError(f"{count} steps asked for in one call: this program takes 1 to {longest}")
        tensors = [leaf for leaf in tree.leaves((state, inputs)) if isinstance(leaf, Tensor)]
        _refuse_shared(tensors)
        form = tuple((leaf.shape, leaf.dtype, leaf.device) for leaf in tensors)
        if form not in blanks:
            blanks[form] = _blank(step, longest, state, inputs)
        state, infos = compiled(state, torch.tensor(count), blanks[form], *inputs)
        return state, tree.map(lambda leaf: leaf[:count], infos)

    return run


def _kept_on_disk() -> dict[str, Any]:
    """The option that lets Inductor's cache take graphs with a loop: a second process then starts in seconds.

    Torch leaves loops out as nobody has vouched for their keys, which are made of the code of all parts of a graph.
    """
    from torch._inductor import config

    name = "unsafe_marked_cacheable_functions"
    loop = f"{while_loop_op.__module__}.{while_loop_op.__name__}"
    return {name: {loop: torch.__version__}} if hasattr(config, name) else {}


def _refuse_shared(tensors: list[Tensor]) -> None:
    """The loop operator takes no two tensors that share memory, and says so in its own words."""
    storages = [leaf.untyped_storage().data_ptr() for leaf in tensors if leaf.numel()]
    if len(set(storages)) < len(storages):
        raise ValueError("two tensors of the state and the inputs share memory: pass copies (tree.clone)")


def _blank(step: Step, longest: int, state: Tree, inputs: tuple[Any, ...]) -> Tree:
    """Room for what so many steps report."""
    try:
        _, info = tree.shapes_of(step, state, *inputs)
    except RuntimeError:  # it looks at values, and the compiler says what breaks the graph
        _, info = step(state, *inputs)
    return tree.map(lambda leaf: torch.zeros(longest, *leaf.shape, dtype=leaf.dtype, device=leaf.device), info)


def _repeated(step: Step) -> Step:
    """The step taken `count` times; what step i reports is written into place i of what is given as `infos`."""

    def repeated(state: Tree, count: Int[Tensor, ""], infos: Tree, *inputs: Any) -> tuple[Tree, Tree]:
        old, room = tree.leaves(state), tree.leaves(infos)

        def goes_on(i: Int[Tensor, ""], *carried: Tensor) -> Tensor:
            return i < count

        def advance(i: Int[Tensor, ""], *carried: Tensor) -> tuple[Tensor, ...]:
            new, info = step(tree.with_leaves(state, carried[: len(old)]), *inputs)
            written = map(lambda place, leaf: _written(place, i, leaf), carried[len(old) :], tree.leaves(info))
            return (i + 1, *map(computed, tree.leaves(new)), *written)  # the operator wants no leaf of the old

        _, *carried = while_loop(goes_on, advance, (torch.zeros_like(count), *old, *room))
        return tree.with_leaves(state, carried[: len(old)]), tree.with_leaves(infos, carried[len(old) :])

    return repeated


def _written(room: Tensor, i: Int[Tensor, ""], leaf: Tensor) -> Tensor:
    places = torch.arange(len(room), device=room.device).view(-1, *(1 for _ in leaf.shape))
    return torch.where(places == i, leaf, room)
