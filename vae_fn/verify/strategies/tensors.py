"""Keys, shapes, tensors, and parameters as pytrees of drawn structure."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import random
from vae_fn.types import Key, Params, Shape, Tree
from vae_fn.verify.strategies.building import built
from vae_fn.verify.strategies.contents import KINDS, SCALES, Kind, contents

T = TypeVar("T")

NAMES = ("weight", "bias", "encoder", "decoder", "0.weight", "0.bias", "2.weight", "log_scale")
"""Names of parameters and networks; those with dots are `functional_call`'s."""


def seeds() -> SearchStrategy[int]:
    """Seeds for contents; they shrink to 0."""
    return st.integers(0, 2**32 - 1)


def keys() -> SearchStrategy[Key]:
    """Keys, `(2,)`."""
    return built(random.key, seeds())


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 5) -> SearchStrategy[Shape]:
    """Shapes; with the default sides, of empty tensors too. They shrink to few and short dimensions."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def tensors(
    shape: Shape | SearchStrategy[Shape] | None = None,
    dtype: torch.dtype | SearchStrategy[torch.dtype] = torch.float32,
    *,
    kinds: Sequence[Kind] = KINDS,
    scales: Sequence[float] = SCALES,
) -> SearchStrategy[Tensor]:
    """Tensors of one kind and scale each, made by `contents`; finite unless `kinds` has `nonfinite`.

    Args:
        shape: one shape, or a strategy; by default `shapes()`.
        dtype: one floating dtype, or a strategy.
        kinds: of contents, the simplest first.
        scales: of contents, the simplest first.
    """
    return built(
        contents,
        seed=seeds(),
        shape=_one_or_many(shapes() if shape is None else shape),
        dtype=_one_or_many(dtype),
        kind=st.sampled_from(list(kinds)),
        scale=st.sampled_from(list(scales)),
    )


class Leaf(NamedTuple):
    """The place of a tensor in a drawn structure."""

    shape: Shape


def filled(
    structure: Tree,
    seed: int,
    dtype: torch.dtype = torch.float32,
    kind: Kind = "normal",
    scale: float = 1.0,
) -> Tree:
    """The structure with tensors of these shapes in place of its leaves, each from a seed of its own."""
    leaves, rest = pytree.tree_flatten(structure, is_leaf=lambda node: isinstance(node, Leaf))
    made = [contents(seed + i, leaf.shape, dtype, kind, scale) for i, leaf in enumerate(leaves)]
    return pytree.tree_unflatten(made, rest)


def params(
    dtype: torch.dtype | SearchStrategy[torch.dtype] = torch.float32,
    *,
    kinds: Sequence[Kind] = ("normal",),
    scales: Sequence[float] = (1.0, 1e-2, 10.0),
    max_leaves: int = 6,
) -> SearchStrategy[Params]:
    """Parameters: dicts of tensors, and of dicts, tuples and lists of them; 0-d and empty tensors are among them.

    There is at least one leaf. All leaves have the drawn dtype, kind and scale.
    """
    return built(
        filled,
        _structures(max_leaves),
        seed=seeds(),
        dtype=_one_or_many(dtype),
        kind=st.sampled_from(list(kinds)),
        scale=st.sampled_from(list(scales)),
    )


def _structures(max_leaves: int) -> SearchStrategy[Tree]:
    def named(inner: SearchStrategy) -> SearchStrategy[Tree]:
        return st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=3)

    def grown(inner: SearchStrategy) -> SearchStrategy[Tree]:
        return named(inner) | st.lists(inner, min_size=1, max_size=2) | st.tuples(inner, inner)

    return named(st.recursive(shapes(max_dims=2, max_side=4).map(Leaf), grown, max_leaves=max_leaves))


def _one_or_many(value: T | SearchStrategy[T]) -> SearchStrategy[T]:
    return value if isinstance(value, SearchStrategy) else st.just(value)
