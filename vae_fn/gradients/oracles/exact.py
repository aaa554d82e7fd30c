"""An exact value and gradient, with what they can be off by."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Params, Tree

AGREED = 1e-9
"""The error at which no finer computation follows, relative to 1 + the largest number."""

ROUNDING = 1e-13
"""What float64 loses of sums, relative to 1 + the largest number: the least error that is ever claimed."""


class Error(NamedTuple):
    """Bounds on absolute errors: of the value of every example, and of every entry of the gradient."""

    value: float
    grads: float


class Exact(NamedTuple):
    """The value and gradient of a target by other means than sampling, in float64.

    The error is the largest change from a coarser computation: of a lower order in every dimension, a longer step, a
    narrower range, whichever the method has. Added are a bound on what lies outside of a range, and rounding. So it
    bounds the error of what converges fast, as smooth integrands do. That of kinks, as relu has them, can be a few
    times larger, and that of their gradients more so; a spike or a jump between the nodes of both is seen by neither.

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


class Computation(NamedTuple):
    """A value and its gradient by one rule, and a bound on what is outside of the rule's range."""

    value: Float64[Tensor, "*b"]
    grads: Params
    lost: float = 0.0


def refined(computations: Iterable[Computation], method: str) -> Exact:
    """The first of ever finer computations that agrees with the one before, or the last of them.

    A single one has no error but rounding.
    """
    last = None
    found = None
    for computation in computations:
        found = _between(computation, computation if last is None else last, method)
        if last is not None and _agree(found):
            break
        last = computation
    assert found is not None
    return found


def _between(fine: Computation, coarse: Computation, method: str) -> Exact:
    value, grads = (_change(a, b) + ROUNDING * (1 + _size(a)) for a, b in zip(fine[:2], coarse[:2], strict=True))
    return Exact(fine.value, fine.grads, Error(value + fine.lost, grads), method)


def _agree(found: Exact) -> bool:
    value, grads = (AGREED * (1 + _size(part)) for part in (found.value, found.grads))
    return found.error.value <= value and found.error.grads <= grads


def _change(fine: Tree, coarse: Tree) -> float:
    return _size(tree.map(torch.sub, fine, coarse))


def _size(part: Tree) -> float:
    """The largest entry."""
    sizes = [leaf.abs().max() for leaf in tree.leaves(part) if leaf.numel()]
    return float(torch.stack(sizes).max()) if sizes else 0.0
