"""Means and variances of many gradients, as they are drawn, in bounded memory.

A draw is the gradient of one datum at one noise. Sums are kept about a reference near the mean, so that nothing is lost
where the variance is small beside the mean.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from vae_fn import random, tree
from vae_fn.types import Key, Params, Tree

BUDGET = 2**28
"""The most numbers that one chunk of draws computes on its way; a part of them is in memory at a time."""

MOST = 4096
"""The most draws of one chunk."""


class Sums(NamedTuple):
    """Sums over draws, float64.

    Attributes:
        value: of the values.
        deviations: by coordinate, of gradient - reference.
        squares: by coordinate, of the squares of these.
        cosines: by group, of the draws' cosines to the reference; NaN where one of the two is zero.
    """

    value: Float64[Tensor, ""]
    deviations: Params
    squares: Params
    cosines: dict[str, Float64[Tensor, ""]]


Chunk = Callable[[Key], Sums]
"""`chunk(keys)`: the sums over the draws of these keys."""


def chunk_size(numbers: int, draws: int) -> int:
    """How many draws fit into one chunk, where one computes so many numbers."""
    return max(1, min(draws, MOST, BUDGET // max(1, numbers)))


def evenly(draws: int, size: int) -> int:
    """The shortest length of at most `size` with which as many chunks hold so many draws."""
    return -(-draws // -(-draws // size))


def numbers_of(fn: Callable[..., Tree], *args: Tree) -> int:
    """How many numbers a function computes on its way to its result, from shapes alone."""
    counting = _Counting()

    def counted() -> Tree:
        with counting:
            return fn(*args)

    tree.shapes_of(counted)
    return counting.numbers


class _Counting(TorchDispatchMode):
    """Adds up the sizes of what is computed; views are not."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not any(value.alias_info for value in func._schema.returns):
            self.numbers += sum(leaf.numel() for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor))
        return result


def lengths(draws: int, size: int) -> Iterator[int]:
    """The lengths of chunks of at most `size` draws, as even as can be: two lengths at most."""
    count = math.ceil(draws / size)
    yield from (draws // count + (number < draws % count) for number in range(count))


def sums(values: Float[Tensor, " n"], gradients: Params, reference: Params) -> Sums:
    """What n draws add."""
    moved = tree.map(torch.sub, gradients, reference)
    return Sums(
        values.double().sum(),
        tree.map(lambda d: d.sum(0).double(), moved),
        tree.map(lambda d: (d**2).sum(0).double(), moved),
        {group: _cosines(gradients[group], reference[group]).double().sum() for group in gradients},
    )


def stream(chunk: Chunk, key: Key, draws: int, size: int, done: Callable[[int], None]) -> Sums:
    """The sums over many draws, chunk after chunk; `done(n)` hears of each.

    The keys are those of the draws' numbers, whatever the size of a chunk.
    """
    total, first = None, 0
    keys = random.split(key, draws)
    for length in lengths(draws, size):
        found = chunk(keys[first : first + length])
        total = found if total is None else tree.add(total, found)
        first += length
        done(length)
    assert total is not None
    return total


def _cosines(gradients: Tree, reference: Tree) -> Float[Tensor, " n"]:
    pairs = list(zip(tree.leaves(gradients), tree.leaves(reference), strict=True))
    dots = torch.stack([g.flatten(1) @ r.flatten() for g, r in pairs]).sum(0)
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g, _ in pairs])
    length = torch.linalg.vector_norm(norms, dim=0) * tree.global_norm(reference)
    return torch.where(length > 0, dots / length, torch.nan)
