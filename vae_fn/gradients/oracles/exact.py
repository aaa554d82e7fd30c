"""An exact value and gradient, with what they can be off by."""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Params, Tree

ROUNDING = 1e-13
"""What float64 loses of sums of numbers of size 1: the least error that is ever claimed."""


class Error(NamedTuple):
    """Bounds on absolute errors: of the value of every example, and of every entry of the gradient."""

    value: float
    grads: float


class Exact(NamedTuple):
    """The value and gradient of a target by other means than sampling, in float64.

    The error is the largest change from a second, coarser computation: a lower order in every dimension, twice the
    step, a narrower range, whichever the method has; to it are added what lies outside of a range and rounding,
    1e-13 (1 + the largest number). It bounds the error of whatever converges; what lies between the nodes of both
    computations, as a spike would, is seen by neither.

    Attributes:
        value: of the target, in nats, by example.
        grads: of the sum of values over the batch, to ascend.
        error: of both.
        method: a word for tables.
    """

    value: Float64[Tensor, "*b"]
    grads: Params
    error: Error
    method: str


def between(
    fine: tuple[Float64[Tensor, "*b"], Params],
    coarse: tuple[Float64[Tensor, "*b"], Params],
    method: str,
    lost: float = 0,
) -> Exact:
    """The finer one of two computations of a value and its gradient, told apart by the coarser one."""
    value, grads = (_gap(a, b) for a, b in zip(fine, coarse, strict=True))
    return Exact(*fine, Error(value + lost, grads), method)


def _gap(fine: Tree, coarse: Tree) -> float:
    """The largest change, and rounding."""
    a, b = (torch.cat([leaf.flatten() for leaf in tree.leaves(side)]) for side in (fine, coarse))
    if not a.numel():
        return ROUNDING
    return float((a - b).abs().max() + ROUNDING * (1 + a.abs().max()))
