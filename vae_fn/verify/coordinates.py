"""Pytrees of numbers as vectors of named coordinates."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Shape, Tree

TOLD = 8
"""The most leaves of a tree that a message names."""


class Coordinates(NamedTuple):
    """The coordinates of a pytree, leaf after leaf.

    Attributes:
        names: the paths of the leaves; "" for a bare tensor.
        shapes: their shapes.
    """

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]

    @property
    def sizes(self) -> list[int]:
        """How many each leaf has."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def size(self) -> int:
        """How many there are."""
        return sum(self.sizes)

    def name(self, index: int) -> str:
        """The name of one coordinate, as in `encoder/0.weight[3, 1]`."""
        for leaf, shape in zip(self.names, self.shapes, strict=True):
            if index < math.prod(shape):
                place = [int(i) for i in torch.unravel_index(torch.tensor(index), shape)] if shape else []
                return (leaf or "value") + (f"[{', '.join(map(str, place))}]" if place else "")
            index -= math.prod(shape)
        raise IndexError(f"there are {self.size} coordinates")

    def flatten(self, draws: Tree, count: int) -> Float64[Tensor, "n d"]:
        """Draws of the tree, with n in front of every leaf, as rows.

        Raises:
            ValueError: a leaf has another path or shape than the tree that is expected.
        """
        named = tree.flat_names(as_tensors(draws))
        found = {name: tuple(leaf.shape) for name, leaf in named.items()}
        wanted = {name: (count, *shape) for name, shape in zip(self.names, self.shapes, strict=True)}
        if found != wanted:
            raise ValueError(
                f"{count} draws must have the tree of the expected value with {count} in front of every shape, "
                f"{_said(wanted)}; these are {_said(found)}"
            )
        return torch.cat([leaf.detach().reshape(count, -1).double() for leaf in named.values()], 1)


def coordinates_of(expected: Tree) -> Coordinates:
    """The coordinates of a tree.

    Raises:
        ValueError: it has no numbers at all.
    """
    named = tree.flat_names(expected)
    found = Coordinates(tuple(named), tuple(tuple(leaf.shape) for leaf in named.values()))
    if found.size == 0:
        raise ValueError("there is nothing to check: the expected value has no coordinates")
    return found


def vector(value: Tree) -> Float64[Tensor, " d"]:
    """All numbers of a tree, in float64.

    Raises:
        ValueError: it has no leaves.
    """
    leaves = tree.leaves(value)
    if not leaves:
        raise ValueError("there is nothing to check: there are no numbers")
    return torch.cat([leaf.detach().reshape(-1).double() for leaf in leaves])


def expand_like(value: Tree, like: Tree) -> Tree:
    """`value` as a tree of the structure of `like`; a number stands for every coordinate."""
    if isinstance(value, (int, float)):
        return tree.map(lambda leaf: torch.full(leaf.shape, float(value), dtype=torch.float64), like)
    return value


def as_tensors(value: Tree) -> Tree:
    """A tree whose numbers are tensors; a complex one is two, in a last axis.

    Raises:
        TypeError: a leaf is no number.
    """
    return tree.map(_as_tensor, value)


def tolerance_of(leaves: Sequence[Tensor]) -> float:
    """How far two computations of one number may lie apart, relative to 1 + |number|, in the coarsest dtype."""
    inexact = (leaf.dtype for leaf in leaves if leaf.is_floating_point() or leaf.is_complex())
    return max((_ROUNDING.get(dtype, 8 * torch.finfo(dtype).eps) for dtype in inexact), default=1e-12)


_ROUNDING = {torch.float64: 1e-12, torch.complex128: 1e-12, torch.float32: 1e-6, torch.complex64: 1e-6}


def _as_tensor(leaf: Any) -> Tensor:
    if not isinstance(leaf, Tensor):
        try:
            leaf = torch.as_tensor(leaf, dtype=torch.complex128 if isinstance(leaf, complex) else torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"a leaf is a tensor or a number, not {leaf!r}") from None
    return torch.view_as_real(leaf.resolve_conj()) if leaf.is_complex() else leaf


def _said(shapes: dict[str, Shape]) -> str:
    told = [f"{name or 'value'} {shape}" for name, shape in itertools.islice(shapes.items(), TOLD)]
    return ", ".join(told + [f"and {len(shapes) - TOLD:,} more"] * (len(shapes) > TOLD))
