"""Batches in arguments and results: the examples in them, in any order and number."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.properties.arguments import Arguments, Dims, dims_of


class Examples(NamedTuple):
    """Arguments with a batch in some of them.

    Attributes:
        given: the arguments.
        dims: the dimension of the batch in each, None where there is none.
        size: how many examples there are.
    """

    given: Arguments
    dims: list[int | None]
    size: int

    def take(self, index: Sequence[int]) -> tuple[Tree, ...]:
        """The arguments with these examples alone, in this order."""
        return tuple(taken(part, dim, index) for part, dim in zip(self.given.tuple, self.dims, strict=True))

    @property
    def alike(self) -> bool:
        """Whether all examples are the same one, so that no function could treat them differently."""
        leaves = [pytree.tree_leaves(self.take([i])) for i in range(self.size)]
        return all(_equal(one, leaf) for other in leaves[1:] for one, leaf in zip(leaves[0], other, strict=True))


ALIKE = "all examples are the same, so that nothing can tell whether they are treated alike: give different ones"


def examples(given: Arguments, dims: Dims) -> Examples:
    """Arguments in float64, and where their batch is.

    Raises:
        ValueError: the sizes differ, there are fewer than two examples, or the dimensions do not fit the arguments.
    """
    each = dims_of(dims, given.tuple)
    sizes = {
        f"{name}/{path}" if path else name: _size(name, leaf, dim)
        for (name, part), dim in zip(given.parts.items(), each, strict=True)
        if dim is not None
        for path, leaf in tree.flat_names(part).items()
        if isinstance(leaf, Tensor)
    }
    if len(set(sizes.values())) != 1 or min(sizes.values()) < 2:
        raise ValueError(f"give at least two examples, as many in every batched argument; there are {sizes or 'none'}")
    return Examples(given.to(torch.float64), each, next(iter(sizes.values())))


def taken(part: Tree, dim: int | None, index: Sequence[int]) -> Tree:
    """These examples of a tree; all of it where it has no batch."""
    if dim is None:
        return part
    return tree.map(lambda leaf: _select(leaf, dim, index) if isinstance(leaf, Tensor) else leaf, part)


def parts_of(result: Tree, dims: Dims) -> list[tuple[Tree, int | None]]:
    """The parts of a result, each with the dimension of its batch: one part, or those of a tuple of as many as dims."""
    parts = list(result) if isinstance(dims, tuple) else [result]
    return list(zip(map(as_tensors, parts), dims_of(dims, parts), strict=True))


def whole(parts: Sequence[Tree]) -> Tree:
    """Parts as one tree again."""
    return parts[0] if len(parts) == 1 else tuple(parts)


def without_batch(result: Sequence[tuple[Tree, int | None]], size: int) -> str | None:
    """The first leaf of a result that has no batch where it should, in words."""
    for part, dim in result:
        for name, leaf in tree.flat_names(part).items():
            if dim is not None and (not -leaf.ndim <= dim < leaf.ndim or leaf.shape[dim] != size):
                return f"{name or 'its result'} has the shape {tuple(leaf.shape)}, without {size} in dimension {dim}"
    return None


def _size(name: str, leaf: Tensor, dim: int) -> int:
    if not -leaf.ndim <= dim < leaf.ndim:
        raise ValueError(f"{name} of shape {tuple(leaf.shape)} has no dimension {dim} for the batch")
    return leaf.shape[dim]


def _equal(one: Any, other: Any) -> bool:
    """Whether two leaves are the same, where what is no tensor is."""
    return torch.equal(one, other) if isinstance(one, Tensor) else True


def _select(leaf: Tensor, dim: int, index: Sequence[int]) -> Tensor:
    return leaf.index_select(dim, torch.tensor(index, device=leaf.device))
