"""The arguments of a function by name, of which the floating-point leaves are varied."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Key, Tree
from vae_fn.verify.seeds import key_of

Dims = int | None | tuple[int | None, ...]
"""Where a batch stands: in one dimension of every tensor, or one for each argument; None where there is none."""


class Arguments(NamedTuple):
    """Positional arguments under the names of the function's parameters.

    Attributes:
        parts: the arguments in order, by name.
    """

    parts: dict[str, Tree]

    @property
    def tuple(self) -> tuple[Tree, ...]:
        """What the function is called with."""
        return tuple(self.parts.values())

    @property
    def leaves(self) -> dict[str, Any]:
        """All leaves by path, as in `params/encoder/0.weight`."""
        return tree.flat_names(self.parts)

    @property
    def varied(self) -> dict[str, Tensor]:
        """The floating-point leaves that have elements."""
        return {name: leaf for name, leaf in self.leaves.items() if is_floating(leaf) and leaf.numel()}

    def at(self, values: Mapping[str, Tensor]) -> "Arguments":
        """The arguments with other values of the leaves that `values` names."""
        return Arguments(tree.from_names({**self.leaves, **values}, self.parts))

    def to(self, dtype: torch.dtype) -> "Arguments":
        """The arguments with every floating-point leaf in one dtype, and outside any graph of the caller's."""
        return Arguments(tree.map(lambda leaf: leaf.detach().to(dtype) if is_floating(leaf) else leaf, self.parts))

    def key(self, name: str, stage: str) -> Key:
        """The key of a stage of a check with these arguments."""
        tensors = {path: leaf for path, leaf in self.leaves.items() if isinstance(leaf, Tensor)}
        return key_of(name, tensors, stage)


def arguments(fn: Callable, args: Sequence[Tree]) -> Arguments:
    """The arguments under the names of the parameters of `fn`, or numbered where it tells none."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except ValueError:
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return Arguments(dict(zip(names, args, strict=False)))


def is_floating(leaf: Any) -> bool:
    """Whether a leaf is a tensor of real floating-point numbers."""
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def dims_of(dims: Dims, parts: Sequence[Tree]) -> list[int | None]:
    """One dimension for each part.

    Raises:
        ValueError: there are fewer or more.
    """
    each = list(dims) if isinstance(dims, tuple) else [dims] * len(parts)
    if len(each) != len(parts):
        raise ValueError(f"{len(each)} batch dimensions are given for {len(parts)} parts: give one for each, or None")
    return each
