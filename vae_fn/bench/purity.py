"""Whether a step is one that can be timed: pure, and from a state to one like it."""

import torch
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.bench.subject import Subject, clone
from vae_fn.errors import UserError
from vae_fn.types import Tree


def check_step(subject: Subject, name: str) -> None:
    """Take one step and see what it returns, and what it did to what it was given.

    Raises:
        UserError: it returns no new state of the same form, overwrites what it is given, or draws from the global
            generator.
    """
    given = (subject.state, subject.inputs)
    kept, generator = clone(given), torch.get_rng_state()
    result = subject.step(given[0], *given[1])
    if not (isinstance(result, tuple) and len(result) == 2):
        raise UserError(f"{name} must return (state, info), not {type(result).__name__}")
    if _form(result[0]) != _form(subject.state):
        raise UserError(f"{name} must return a state like the one it is given: the same tree, shapes and dtypes")
    if any(not torch.equal(new, old) for new, old in zip(_tensors(given), _tensors(kept), strict=True)):
        raise UserError(f"{name} is not pure: it writes to its arguments: return a new state instead")
    if not torch.equal(torch.get_rng_state(), generator):
        raise UserError(f"{name} is not pure: it draws from torch's global generator: take noise as an argument")


def _tensors(values: Tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree.leaves(values) if isinstance(leaf, torch.Tensor)]


def _form(state: Tree) -> tuple:
    leaves, structure = pytree.tree_flatten(state)
    return structure, [(tuple(leaf.shape), leaf.dtype) if isinstance(leaf, torch.Tensor) else None for leaf in leaves]
