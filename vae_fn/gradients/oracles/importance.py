"""K-sample bounds of any K, from the log-weights at nodes.

For independent w_1, ..., w_K of one law (Frullani's integral under the expectation),

    E log sum_k w_k = c + integral over t > 0 of (exp(-t) - M(t)**K) / t dt,     M(t) = E exp(-t w exp(-c)),

so that K enters as a power and the nodes are those of one sample. With t = exp(u) the integrand is analytic for
|Im u| < pi / 2 and falls exponentially on either side: the trapezoidal rule of step h errs by exp(-pi**2 / h)
(Trefethen & Weideman 2014). Weights are centred at c = E log w, which keeps t near 1.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, func

PerNode = Float64[Tensor, " n *b"]

STEP = 1 / 6
"""Of u, where exp(-pi**2 / h) is 2e-26; at twice the step it is 1e-13."""

CUT = 1e-16
"""What the integral may lack at either end of its range."""

ENTRIES = 2**22
"""Numbers at a time."""

SATURATED = 7.0
"""The log of t w beyond which exp(-t w) is 0 in float64."""


class Grid(NamedTuple):
    """Where the integrand is taken: u = low + step * j for j < count.

    Attributes:
        centre: c, by example.
        low: the first u, by example.
        step: of u.
        count: how many there are.
        lost: a bound on the integral outside of the range, by example.
    """

    centre: Float64[Tensor, "*b"]
    low: Float64[Tensor, "*b"]
    step: float
    count: int
    lost: Float64[Tensor, "*b"]


class Bound(NamedTuple):
    """The K-sample bound `(*b)` in nats, and its derivatives `(n, *b)` in the log-weights and in the weights of nodes.

    The derivatives in the log-weights are the mean normalised weights: those of a node sum to 1 with all the others.
    Those in the weights of nodes, which sum to 1 themselves, are known up to one constant for all nodes.
    """

    value: Float64[Tensor, "*b"]
    by_log_weight: PerNode
    by_weight: PerNode


def bound(log_weights: PerNode, weights: PerNode, samples: int, grid: Grid) -> Bound:
    """E log (1/K) sum_k w_k of K samples, where a sample is node n with the probability `weights[n]`."""
    total = grid.centre - math.log(samples)
    slopes = torch.zeros_like(log_weights), torch.zeros_like(weights)
    slope = func.grad_and_value(_piece, argnums=(0, 1), has_aux=True)
    for u in _points(grid, log_weights):
        (by_log_weight, by_weight), (_, part) = slope(log_weights - grid.centre, weights, samples, u)
        total = total + grid.step * part
        slopes = slopes[0] + grid.step * by_log_weight, slopes[1] + grid.step * by_weight
    return Bound(total, *slopes)


def grid_of(log_weights: PerNode, weights: PerNode, samples: int, step: float = STEP, cut: float = CUT) -> Grid:
    """A grid that leaves out less than `cut` on either side.

    Below u = low the integrand is at most exp(u) max(1, K E w). Above, with x = t w, the integral of exp(-t w) dt / t
    is at most exp(-x) log(1 + 1 / x), and M falls.

    Raises:
        ValueError: a log-weight is not finite.
    """
    if not bool(log_weights.isfinite().all()):
        raise ValueError("a log-weight is not finite, so the bound is not: look where f, log p or log q is infinite")
    centre = (weights * log_weights).sum(0)
    centred = log_weights - centre
    largest = torch.logsumexp(centred + weights.log(), 0) + math.log(samples)
    low = math.log(cut) - largest.clamp(min=0)
    high = 1.0
    while bool(((above := _above(centred, weights, samples, high)) > cut).any()):
        high += 1.0
    count = math.ceil((high - float(low.min())) / step) + 1
    return Grid(centre, low, step, count, cut + above)


def _above(centred: PerNode, weights: PerNode, samples: int, u: float) -> Float64[Tensor, "*b"]:
    """A bound on the integral of exp(-t) + M(t)**K above u."""
    x, t = torch.exp((centred + u).clamp(max=SATURATED)), math.exp(min(u, SATURATED))
    fallen = (weights * torch.exp(-x)).sum(0) ** (samples - 1)
    return fallen * (weights * torch.exp(-x) * torch.log1p(1 / x)).sum(0) + math.exp(-t) * math.log1p(1 / t)


def _points(grid: Grid, like: PerNode) -> Iterator[Float64[Tensor, "t *b"]]:
    """The points u, as many at a time as memory is granted."""
    for part in torch.arange(grid.count, dtype=like.dtype).split(max(1, ENTRIES // like.numel())):
        yield grid.low + grid.step * part.reshape(-1, *(1,) * grid.low.ndim)


def _piece(
    centred: PerNode, weights: PerNode, samples: int, u: Float64[Tensor, "t *b"]
) -> tuple[Float64[Tensor, ""], Float64[Tensor, "*b"]]:
    """The sum of the integrand over points, over the batch and by example; 1 - M is kept where M is near 1."""
    x = torch.exp((centred + u.unsqueeze(1)).clamp(max=SATURATED))
    missing = -(weights * torch.expm1(-x)).sum(1)
    power = torch.expm1(samples * torch.log1p(-missing.clamp(max=1 - torch.finfo(missing.dtype).eps)))
    part = (torch.expm1(-torch.exp(u)) - power).sum(0)
    return part.sum(), part
