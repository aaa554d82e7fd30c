"""Many steps in one call: a program of one step, called again and again without asking anew what it was made for."""

from collections.abc import Callable, Hashable
from enum import Enum
from functools import partial
from types import FunctionType, NoneType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.compiling import replaying
from vae_fn.compiling.again import Backend, Watched, stacked
from vae_fn.compiling.gemm import Gemm, check_gemm
from vae_fn.compiling.pure import check_function
from vae_fn.compiling.recorder import Recordings
from vae_fn.compiling.step import compile_step
from vae_fn.compiling.surroundings import Surroundings, check_apart
from vae_fn.errors import check_count
from vae_fn.types import Tree

Step = Callable[..., tuple[Tree, Tree]]

PLAIN = (bool, int, float, complex, str, bytes, NoneType, Enum, torch.dtype, torch.device)
"""What arguments may hold besides tensors and functions: values that never change."""


def compile_epoch(
    step: Step,
    *,
    donate: bool = True,
    gemm: Gemm | None = None,
    backend: Backend = "inductor",
    cuda_graph: bool = False,
) -> Callable[..., tuple[Tree, Tree]]:
    """Compile a step to be repeated: `(state, count, *inputs) -> (state, infos)`.

    The numbers are those of `count` single steps, to the bit. The inputs are the same in all of them: what differs from
    step to step, such as the batch and the noise, follows from the state, which counts the steps.

    One step is compiled, once for every form of the arguments: structure, shapes, strides, dtypes, devices, and the
    values of what is no tensor; for as many forms as torch makes graphs of a function (its `recompile_limit`). That is
    looked at once a call. `torch.compile` by itself asks at every step whether all that the step reaches is still as it
    was, which takes a twelfth of a small step's time (benchmarks/NOTES.md). So what the step closes over must stay:
    tensors there are read at every step, everything else when it is compiled.
    And the first step of a call alone goes through `torch.compile`; the others go to its graph, or to a recording of
    what that calls (`again`), so that what a step does besides, which is then not pure, is done once a call.

    Args:
        step: a pure step `(state, *inputs) -> (state, info)`, as for a donating `compile_step`: the new state must have
            the parts, shapes and dtypes of the old one.
        donate: whether the state passed in is consumed, as in `compile_step`, or copied first.
        gemm: as in `compile_pure`.
        backend: as in `compile_pure`.
        cuda_graph: where the state is on a CUDA device, replay the step as a CUDA graph (`replaying`). All that the
            step reads and returns must then lie on that device, tensors that it closes over stay where they are, and
            no operator hold functions of its own, as a loop does.

    Returns:
        A function of a state, the number of steps and the inputs. Every leaf of `infos` has the steps in front. It
        raises a `ValueError` if the number is not positive, two tensors share memory or one does with what the step
        closes over, an argument is neither a tensor nor a plain value or function, or too many forms of them were
        compiled; a `CaptureError` if the step cannot be captured; and a `RuntimeError` if an operator that it calls
        returns tensors of another form from one step to the next.

    Raises:
        TypeError: what is to be compiled is no function.
        ValueError: `gemm` is unknown, or asked of a backend that is not Inductor.
    """
    check_function(step)
    check_gemm(gemm, backend == "inductor")
    programs: dict[Hashable, tuple[Step, Surroundings]] = {}

    def program(state: Tree, inputs: tuple[Any, ...], surroundings: Surroundings) -> Step:
        edge = partial(compile_step, gemm=gemm, options={"guard_filter_fn": surroundings})
        if cuda_graph and _device(state) == "cuda":
            return replaying.replayed(step, partial(edge, backend=backend), state, inputs, replaying.cuda_graph)
        watched = Watched(backend)
        return _straight(edge(step, backend=watched), watched)

    def first(form: Hashable, state: Tree, count: int, *inputs: Any) -> tuple[Tree, Tree]:
        """The call for which a program is made, which alone shows what the step closes over."""
        surroundings, before = Surroundings(), tree.clone(state)
        take = program(state, inputs, surroundings)
        result = take(state, count, *inputs)
        try:
            surroundings.check(state, inputs)
        except ValueError:
            tree.map(Tensor.copy_, state, before)
            raise
        programs[form] = take, surroundings
        return result

    def run(state: Tree, count: int, *inputs: Any) -> tuple[Tree, Tree]:
        check_count("count", count)
        check_apart(state, inputs)
        form, state = _form(state, inputs), state if donate else tree.clone(state)
        if form not in programs:
            _check_room(len(programs))
            return first(form, state, count, *inputs)
        take, surroundings = programs[form]
        surroundings.check(state, inputs)
        return take(state, count, *inputs)

    return run


def _check_room(made: int) -> None:
    """Hold the programs made against torch's limit of graphs, which it applies to each of them by itself."""
    limit = torch._dynamo.config.recompile_limit
    if made >= limit:
        raise ValueError(
            f"the step was compiled for {made} forms of its arguments, and this is another: pass numbers that vary as "
            "tensors, make functions once, or raise torch._dynamo.config.recompile_limit"
        )


def repeated(step: Step) -> Step:
    """The repetition of a step, compiled or not: `(state, count, *inputs) -> (state, infos)`.

    Every leaf of `infos` has the steps in front. The state is consumed if the step consumes it.
    """

    def repeat(state: Tree, count: int, *inputs: Any) -> tuple[Tree, Tree]:
        infos = []
        for _ in range(count):
            state, info = step(state, *inputs)
            infos.append(info)
        return state, tree.map(lambda *leaves: torch.stack(leaves), *infos)

    return repeat


def _straight(step: Step, watched: Watched) -> Step:
    """`repeated` for a compiled step that writes over its state: the first step calls it, the others what it called."""
    recordings = Recordings() if watched.backend == "inductor" else None

    def repeat(state: Tree, count: int, *inputs: Any) -> tuple[Tree, Tree]:
        try:
            state, info = step(state, *inputs)
            told, call = tree.leaves(info), watched.forget()
            others = call.again(told, count - 1, recordings) if call else None
            if others is None:
                others = stacked([tree.leaves(step(state, *inputs)[1]) for _ in range(count - 1)], told)
        finally:
            watched.forget()  # a call that failed, or a step that went the usual way, would keep its tensors
        rows = [torch.cat((first[None], rest)) for first, rest in zip(told, others, strict=True)]
        return state, tree.with_leaves(info, rows)

    return repeat


def _device(state: Tree) -> str | None:
    return next((leaf.device.type for leaf in tree.leaves(state) if isinstance(leaf, Tensor)), None)


def _form(state: Tree, inputs: tuple[Any, ...]) -> Hashable:
    """All that a program depends on besides the values of tensors."""
    leaves, structure = pytree.tree_flatten((state, inputs))
    return structure, tuple(map(_traits, leaves))


def _traits(leaf: Any) -> Hashable:
    if isinstance(leaf, Tensor):
        return type(leaf), leaf.shape, leaf.stride(), leaf.dtype, leaf.device, leaf.requires_grad
    if isinstance(leaf, float | complex) and not isinstance(leaf, Enum):
        return type(leaf), repr(leaf)  # which tells -0.0 from 0.0, and one nan from no other
    if isinstance(leaf, PLAIN):
        return type(leaf), leaf
    if isinstance(leaf, FunctionType):
        return FunctionType, leaf
    raise ValueError(
        f"an argument holds a {type(leaf).__name__}, which may change unseen: pass tensors, numbers, texts or functions"
    )
