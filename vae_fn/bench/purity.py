"""Whether a step is one that can be timed: pure, and from a state to one like it."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.bench.subject import Subject, clone
from vae_fn.errors import UserError, described
from vae_fn.types import Tree


def check_step(subject: Subject, name: str) -> None:
    """Take one step and see what it returns, and what it did to what it was given.

    Raises:
        UserError: its state has a leaf that is no tensor; or it returns no new state of the same form, which is that of
            `tree.map`, overwrites what it is given, or draws from a global generator.
    """
    for leaf, value in tree.flat_names(subject.state).items():
        if not isinstance(value, Tensor):
            where = f" at {leaf}" if leaf else ""
            raise UserError(f"{name} is given a state that holds {described(value)}{where}: make it a tensor")
    given = (subject.state, subject.inputs)
    kept, generators = clone(given), _generators()
    result = subject.step(given[0], *given[1])
    if not (isinstance(result, tuple) and len(result) == 2):
        raise UserError(f"{name} must return (state, info), not {type(result).__name__}")
    if not _alike(result[0], kept[0]):
        raise UserError(f"{name} must return a state like the one it is given: the same tree, shapes and dtypes")
    if not _alike(given, kept) or any(map(_differ, _tensors(given), _tensors(kept))):
        raise UserError(f"{name} is not pure: it writes to its arguments: return a new state instead")
    if any(map(_differ, _generators(), generators)):
        raise UserError(f"{name} is not pure: it draws from torch's global generator: take noise as an argument")


def _generators() -> list[Tensor]:
    """The states of torch's global generators, those of CUDA where it is in use."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ())]


def _tensors(values: Tree) -> list[Tensor]:
    return [leaf for leaf in tree.leaves(values) if isinstance(leaf, Tensor)]


def _differ(new: Tensor, old: Tensor) -> bool:
    return not torch.equal(_bits(new), _bits(old))


def _bits(leaf: Tensor) -> Tensor:
    """Under which NaN equals itself."""
    return leaf.detach().contiguous().reshape(-1).view(torch.uint8)


def _alike(new: Tree, old: Tree) -> bool:
    """Whether leaf meets leaf of the same shape and dtype, whatever the order of a dictionary."""
    leaves, structure = pytree.tree_flatten(old)
    try:
        found = structure.flatten_up_to(new)
    except ValueError:
        return False
    return list(map(_form, found)) == list(map(_form, leaves))


def _form(leaf: Any) -> tuple | None:
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else None
