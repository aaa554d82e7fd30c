"""Matrices of examples as sums of few outer products, and reductions of them that never form them.

The gradient of a linear layer's weight is, example by example, `g[b] = sum_r left[b, r] right[b, r]^T`: what comes back
to the layer's output, times its input, once for each row that the example sends through the layer. Its length needs the
inner products of the rows alone (Goodfellow 2015, arXiv:1510.01799; Li et al. 2022, arXiv:2110.05679; Bu et al. 2022,
arXiv:2205.10683), and what is summed over the examples is one matrix product.

Where terms of opposite sign can cancel, or squares leave float32's range, the sums are float64: no sum loses more than
the rounding of a float32 gradient does. Scales are multiplied into one factor, in float32: where that alone leaves the
range, the result does, even if the matrices would not.
"""

from itertools import combinations_with_replacement
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Factors(NamedTuple):
    """`g[b] = sum_r left[b, r] right[b, r]^T + offset`; the offset is the same for all examples, or none."""

    left: Float[Tensor, "b r m"]
    right: Float[Tensor, "b r n"]
    offset: Float[Tensor, "m n"] | None = None


def dense(x: Factors) -> Float[Tensor, "b m n"]:
    """The matrices themselves."""
    return _moved(x.left.mT @ x.right, x.offset)


def plus(x: Factors, y: Factors) -> Factors:
    """The sum of both."""
    offset = x.offset if y.offset is None else _moved(y.offset, x.offset)
    return Factors(torch.cat([x.left, y.left], 1), torch.cat([x.right, y.right], 1), offset)


def swapped(x: Factors) -> Factors:
    """The transposed matrices."""
    return Factors(x.right, x.left, None if x.offset is None else x.offset.mT)


def wide(x: Factors) -> Factors:
    """The same in float64."""
    return Factors(x.left.double(), x.right.double(), None if x.offset is None else x.offset.double())


def total(x: Factors) -> Float[Tensor, "m n"]:
    """sum_b g[b]: one product over examples and rows."""
    x = x if x.offset is None else wide(x)
    return _moved(x.left.flatten(0, 1).mT @ x.right.flatten(0, 1), x.offset, len(x.left))


def against(x: Factors, matrix: Float[Tensor, "m n"]) -> Float[Tensor, " b"]:
    """sum_mn g[b] * matrix."""
    x = x if x.offset is None else wide(x)
    matrix = matrix.to(x.left)
    found = (x.left * (x.right @ matrix.mT)).sum((1, 2))
    return found if x.offset is None else found + (x.offset * matrix).sum()


def inner(x: Factors, y: Factors) -> Float[Tensor, " b"]:
    """sum_mn g[b] * h[b]: of g with itself the square of its length."""
    x, y = wide(x), wide(y)
    found = (_gram(x.left, y.left) * _gram(x.right, y.right)).sum((1, 2))
    if y.offset is not None:
        found = found + against(x, y.offset)
    return found if x.offset is None else found + against(y._replace(offset=None), x.offset)


def moment(x: Factors, y: Factors) -> Float[Tensor, "m n"]:
    """sum_b g[b] * h[b], entry by entry: the products of all pairs of rows are rows themselves."""
    x, y = wide(x), wide(y)
    paired = Factors(_pairs(x.left, y.left), _pairs(x.right, y.right))
    found = total(paired)
    if y.offset is not None:
        found = found + y.offset * total(x)
    return found if x.offset is None else found + x.offset * total(y._replace(offset=None))


def square_moment(x: Factors) -> Float[Tensor, "m n"]:
    """sum_b g[b]^2, entry by entry: `moment(x, x)`, where each pair of rows is taken once."""
    x = wide(x)
    pairs = list(combinations_with_replacement(range(x.left.shape[1]), 2))
    left = torch.stack([x.left[:, r] * x.left[:, s] * (1 if r == s else 2) for r, s in pairs], 1)
    found = total(Factors(left, torch.stack([x.right[:, r] * x.right[:, s] for r, s in pairs], 1)))
    if x.offset is None:
        return found
    return found + x.offset * (2 * total(x._replace(offset=None)) + len(x.left) * x.offset)


def _gram(a: Float[Tensor, "b r d"], b: Float[Tensor, "b s d"]) -> Float[Tensor, "b r s"]:
    if a.shape[1] == b.shape[1] == 1:
        return (a * b).sum(-1, keepdim=True)
    return a @ b.mT


def _pairs(a: Float[Tensor, "b r d"], b: Float[Tensor, "b s d"]) -> Float[Tensor, "b r*s d"]:
    return (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1, 2)


def _moved(value: Tensor, offset: Tensor | None, times: int = 1) -> Tensor:
    return value if offset is None else value + times * offset
