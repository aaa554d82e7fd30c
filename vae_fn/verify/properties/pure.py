"""Purity: a function leaves everything as it was, and its result depends on its arguments alone."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.properties.arguments import arguments
from vae_fn.verify.properties.generators import watched_generators
from vae_fn.verify.properties.held import held_numbers, held_tensors
from vae_fn.verify.properties.results import differing_shapes
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Verdict

MOST = 3
"""Faults that are told."""


def pure(fn: Callable[..., Tree], *args: Tree, name: str | None = None) -> Verdict:
    """Check that a function changes nothing and that a second call gives the same bits.

    It must leave alone its arguments, bit for bit and with the memory around them; the tensors that it holds itself
    (closures, globals, buffers of modules); and the global generators of torch, numpy and Python, which are put back.
    (Python's may advance where nothing comes of it: type checkers at run time sample from it.) Numbers, words and lists
    that it holds may change at the first call, as a cache does, and not at the second, as a counter does. Its result
    must share no memory with its arguments: their owner may overwrite either.

    Args:
        fn: called twice.
        args: pytrees; tensors of any dtype.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` with what was seen; `coordinate` is the first leaf concerned.
    """
    start = time.perf_counter()
    watched = {"argument": arguments(fn, args).leaves, "tensor that it holds itself,": held_tensors(fn)}
    before = {kind: _memory(leaves) for kind, leaves in watched.items()}
    structure = pytree.tree_flatten(args)
    with watched_generators() as used:
        first = as_tensors(fn(*args))
        bits = tree.map(_bits, first)
        after = {kind: _memory(leaves) for kind, leaves in watched.items()}
        kept = held_numbers(fn)
        second = as_tensors(fn(*args))
        later = held_numbers(fn)

    differences = _repeated(second, first, bits)
    drawn = [each for each in used if each != "Python" or differences]
    faults = [Fault(f"it draws from {each}'s global generator: make noise an argument") for each in drawn]
    for kind in watched:
        changed = [leaf for leaf, was in before[kind].items() if after[kind][leaf] != was]
        faults += [Fault(f"it changes the {kind} {leaf}", leaf) for leaf in changed]
    faults += [Fault(f"it keeps a state in {name}", name) for name in _changed(kept, later)]
    if not _same_leaves(structure, pytree.tree_flatten(args)):
        faults.append(Fault("it puts other leaves into a container among its arguments: build a new one"))
    faults += [
        Fault(f"{leaf} of its result lies in {owner}", leaf) for leaf, owner in _shared(first, watched["argument"])
    ]
    faults += differences

    detail = "; ".join(fault.said for fault in faults[:MOST]) or "nothing is changed or shared, a second call is equal"
    detail += f"; and {len(faults) - MOST} more" if len(faults) > MOST else ""
    at = next((fault.leaf for fault in faults if fault.leaf), None)
    status, seconds = "rejected" if faults else "passed", time.perf_counter() - start
    return Verdict("pure", name_of(fn, name), "deterministic", status, detail, coordinate=at, seconds=seconds)


class Fault(NamedTuple):
    """What a function does that it must not, and the leaf concerned."""

    said: str
    leaf: str | None = None


def _repeated(second: Tree, first: Tree, bits: Tree) -> list[Fault]:
    """How a second result differs from the first one, whose bits were taken before the second call."""
    if said := differing_shapes(second, first):
        return [Fault(f"a second call differs: {said}")]
    again = tree.flat_names(tree.map(_bits, second))
    changed = [name or "value" for name, was in tree.flat_names(bits).items() if not torch.equal(was, again[name])]
    return [Fault(f"a second call gives other bits of {name}: it keeps a state", name) for name in changed]


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names whose value has changed, or that only one side has."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def _bits(leaf: Tensor) -> Tensor:
    """The bits of its elements, under which NaN equals itself."""
    return leaf.detach().contiguous().reshape(-1).view(torch.uint8).clone()


def _memory(leaves: Mapping[str, Any]) -> dict[str, tuple]:
    """For each tensor its layout and all bytes of its storage, of which it may be a view."""
    return {name: (*_layout(leaf), _bytes(leaf)) for name, leaf in leaves.items() if _has_memory(leaf)}


def _has_memory(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.device.type != "meta"


def _layout(leaf: Tensor) -> tuple:
    return leaf.dtype, tuple(leaf.shape), leaf.stride(), leaf.storage_offset()


def _bytes(leaf: Tensor) -> bytes:
    whole = torch.empty(0, dtype=torch.uint8, device=leaf.device).set_(leaf.untyped_storage())
    return whole.cpu().numpy().tobytes()


def _same_leaves(before: tuple[list, pytree.TreeSpec], after: tuple[list, pytree.TreeSpec]) -> bool:
    """Whether containers hold what they held: the very same objects."""
    same = len(before[0]) == len(after[0]) and all(map(lambda a, b: a is b, before[0], after[0]))
    return same and before[1] == after[1]


def _shared(result: Tree, leaves: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Leaves of a result and the arguments in whose storage they lie."""
    owners = {leaf.untyped_storage().data_ptr(): name for name, leaf in leaves.items() if _has_memory(leaf)}
    for name, leaf in tree.flat_names(result).items():
        address = leaf.untyped_storage().data_ptr()
        if address and address in owners:
            yield name or "value", owners[address]
