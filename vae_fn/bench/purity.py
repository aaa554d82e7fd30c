"""Whether a step is one that can be timed: pure, and from a state to one like it."""

from numbers import Number
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.bench.subject import Subject, clone, device_of
from vae_fn.errors import UserError, described
from vae_fn.types import Tree


def check_step(subject: Subject, name: str) -> None:
    """Take a step, twice, and see what it returns, and what it did to what it was given.

    Raises:
        UserError: its state has a leaf that is no tensor; or it returns no new state of the same form, which is that of
            `tree.map`, overwrites what it is given, draws from a global generator, or gives other results the second
            time.
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
        raise UserError(f"{name} must return a state like the one it is given{_change(result[0], kept[0])}")
    if not _alike(given, kept) or any(map(_differ, _tensors(given), _tensors(kept))):
        raise UserError(f"{name} is not pure: it writes to its arguments: return a new state instead")
    if any(map(_differ, _generators(), generators)):
        raise UserError(f"{name} is not pure: it draws from torch's global generator: take noise as an argument")
    if device_of(subject).type != "cpu":  # where sums may take another order each time
        return
    if changed := _changed(subject.step(given[0], *given[1]), result):
        raise UserError(
            f"{name} is not pure: a second call with the same arguments gives another {changed}: take noise as an "
            "argument, and keep what changes in the state"
        )


def _changed(again: Tree, first: Tree) -> str | None:
    """The first tensor or number that is another one, as in `state['w']`."""
    if not _alike(again, first):
        return "form of its results"
    for part, before, after in zip(("state", "info"), first, again, strict=True):
        leaves, structure = pytree.tree_flatten_with_path(before)
        for (path, leaf), found in zip(leaves, structure.flatten_up_to(after), strict=True):
            if not _same(found, leaf):
                return part + pytree.keystr(path)
    return None


def _same(new: Any, old: Any) -> bool:
    """Tensors to the bit and numbers as they are written; other things do not count."""
    if isinstance(old, Tensor):
        return not _differ(new, old)
    return not isinstance(old, Number) or repr(new) == repr(old)


def _change(new: Tree, old: Tree) -> str:
    """What of a state's form is another one: the first leaf, by name, and how."""
    found, expected = tree.flat_names(new), tree.flat_names(old)
    for name, leaf in expected.items():
        if name not in found:
            return f": it lacks {name}" if name else ": its tree is another one"
        if _form(found[name]) != _form(leaf):
            whose = f"its {name}" if name else "it"
            return f": {whose} is {described(found[name])}, and was {described(leaf)}"
    return next((f": it has {name} besides" for name in found if name not in expected), ": its tree is another one")


def _generators() -> list[Tensor]:
    """The states of torch's global generators, those of CUDA where it is in use."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ())]


def _tensors(values: Tree) -> list[Tensor]:
    return [leaf for leaf in tree.leaves(values) if isinstance(leaf, Tensor)]


def _differ(new: Tensor, old: Tensor) -> bool:
    return not torch.equal(_bits(new), _bits(old))


def _bits(leaf: Tensor) -> Tensor:
    """Under which NaN equals itself."""
    dense = leaf.detach() if leaf.layout == torch.strided else leaf.detach().to_dense()
    return dense.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


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
