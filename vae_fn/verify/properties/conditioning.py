"""How close to its float64 value a float32 result can be: excess wrong bits, the yardstick of TensorFlow Probability.

A float32 argument stands for all numbers that round to it, so a result is uncertain by what one rounding of every
argument moves it by, and by one rounding of itself. That cannot be had better. A badly conditioned function is not
blamed for its problem, and a cancellation that loses more digits than that is.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Key, Tree
from vae_fn.verify.coordinates import as_tensors, vector
from vae_fn.verify.properties.arguments import Arguments, is_floating

PATTERNS = 6
"""Random patterns of signs of one rounding, beside all up and all down."""


class Reference(NamedTuple):
    """A result in float64.

    Attributes:
        value: the result.
        attainable: how far off a float32 result must be expected to be, by coordinate.
    """

    value: Tree
    attainable: Float64[Tensor, " d"]


def reference(fn: Callable[..., Tree], given: Arguments, label: str) -> Reference:
    """The float64 result of float32 arguments; the roundings of their signs are hashed from `label` and them."""
    value = as_tensors(fn(*given.to(torch.float64).tuple))
    exact, key = vector(value), given.key(label, "roundings")
    moved = torch.zeros_like(exact)
    for pattern in range(PATTERNS + 2):
        near = given.at(_one_rounding(given.varied, random.fold_in(key, pattern), pattern))
        move = (vector(as_tensors(fn(*near.to(torch.float64).tuple))) - exact).abs()
        moved = torch.maximum(moved, torch.where(move.isfinite(), move, 0.0))
    return Reference(value, moved + _own_rounding(value))


def _one_rounding(values: dict[str, Tensor], key: Key, pattern: int) -> dict[str, Tensor]:
    """The neighbours of all numbers in float32: upwards, downwards, then in random directions."""
    neighbours = {}
    for index, (name, value) in enumerate(values.items()):
        away = random.uniform(random.fold_in(key, index), tuple(value.shape)).to(value.device) - 0.5
        towards = away if pattern > 1 else torch.full_like(value, 1.0 - 2.0 * pattern)
        neighbours[name] = value.nextafter(towards * torch.inf)
    return neighbours


def _own_rounding(value: Tree) -> Float64[Tensor, " d"]:
    """One float32 rounding of every number of a result; nothing for integers."""
    info = torch.finfo(torch.float32)
    own = [
        leaf.detach().double().abs() * info.eps + info.tiny if is_floating(leaf) else torch.zeros_like(leaf).double()
        for leaf in tree.leaves(value)
    ]
    return torch.cat([leaf.reshape(-1) for leaf in own])
