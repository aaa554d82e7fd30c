"""Compiled steps, from state to state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.compiling.again import Backend
from vae_fn.compiling.gemm import Gemm
from vae_fn.compiling.pure import check_function, compile_pure
from vae_fn.types import Tree

SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""Numbers of the same size, for which torch has kernels; keys are of the last."""

INSTEAD = "compile with donate=False, by compile_step"


def compile_step(
    step: Callable[..., tuple[Any, Any]],
    *,
    donate: bool = True,
    gemm: Gemm | None = None,
    backend: Backend = "inductor",
    options: dict[str, Any] | None = None,
) -> Callable[..., tuple[Any, Any]]:
    """Compile a step `(state, *inputs) -> (state, info)` whole, as one graph of static shapes.

    Args:
        step: a pure step; a graph break in it is an error, a new shape of its inputs a second graph.
        donate: write the new state into the old one's buffers inside the graph and return those: no allocation, the
            same numbers. The state passed in is consumed; who keeps one clones it (`tree.clone`). The new state must
            have the parts, shapes and dtypes of the old one, or compiling fails and names what has not.
        gemm: as in `compile_pure`.
        backend: as in `compile_pure`.
        options: as in `compile_pure`.

    Raises:
        TypeError: what is to be compiled is no function; or, when it is first called, a donating step returns no pair.
        ValueError: as in `compile_pure`; or, when it is first called, the new state does not fit into the old one.
    """
    check_function(step)
    if not donate:
        return compile_pure(step, gemm=gemm, backend=backend, options=options)
    compiled = compile_pure(_overwriting(step), gemm=gemm, backend=backend, options=options)

    def donated(state: Any, *inputs: Any) -> tuple[Any, Any]:
        return state, compiled(state, *inputs)

    return donated


def _overwriting(step: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """The step that writes the new state over the old one and returns the info alone."""

    def overwrite(state: Any, *inputs: Any) -> Any:
        result = step(state, *inputs)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                "a step returns a pair (state, info), and this one something else: add what it reports, or ()"
            )
        new, info = result
        if not _fits(state, new):
            raise ValueError(_difference(state, new))
        told = tree.map(computed, info)  # a leaf of the state that is told as well must not follow it
        tree.map(lambda old, value: old.copy_(value), state, tree.map(computed, new))
        return told

    return overwrite


def _fits(state: Tree, new: Tree) -> bool:
    """Whether the new state has a place in the old one's buffers, leaf by leaf."""
    try:
        return not any(tree.leaves(tree.map(_differ, state, new)))
    except ValueError:  # it has other parts
        return False


def _differ(old: Tensor, value: Any) -> bool:
    return not isinstance(value, Tensor) or old.shape != value.shape or old.dtype != value.dtype


def _difference(state: Tree, new: Tree) -> str:
    """What of the new state does not fit into the old one's place; names take Dynamo long, and are asked here."""
    held, given = tree.flat_names(state), tree.flat_names(new)  # dictionaries may come back in another order
    if isinstance(new, Tensor) and not isinstance(state, Tensor):
        return "the step's new state is a tensor alone, and the old one has parts: return (state, info)"
    for name, old in held.items():
        if name in given and _differ(old, given[name]):
            value = given[name]
            return (
                f"the step makes {name} {value.dtype} of shape {tuple(value.shape)}, and it was {old.dtype} of "
                f"shape {tuple(old.shape)}: keep both, or {INSTEAD}"
            )
    changes = [f"drops {name or 'all'}" for name in held if name not in given]
    changes += [f"adds {name}" for name in given if name not in held]
    told = " and ".join(changes) or "gives the state another structure"
    return f"the step {told}: keep the parts of the state, or {INSTEAD}"


def computed(value: Tensor) -> Tensor:
    """The value itself, as the result of an operation.

    A leaf of the old state may stand at another place of the new one, as in a lagged copy: it must be read before it is
    overwritten. A clone will not do: Inductor removes it even where the graph writes to its source (torch 2.14). Two
    changes of sign cost nothing in a loop that memory holds up; what has no sign is compared with itself.
    """
    if value.dtype in SIGNED:
        return computed(value.view(SIGNED[value.dtype])).view(value.dtype)
    return value.neg().neg() if value.is_floating_point() or value.is_complex() else torch.maximum(value, value)
