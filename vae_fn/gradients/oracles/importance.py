"""K-sample bounds of any K, by an integral over one variable of an expectation over one sample.

For independent weights w_1, ..., w_K of one law (Frullani's integral under the expectation),

    E log sum_k w_k = c + integral over t > 0 of (exp(-t) - M(t)**K) / t dt,     M(t) = E exp(-t w exp(-c)),

so that K enters as a power, and the nodes are those of one sample. With t = exp(u) the integrand is analytic for
|Im u| < pi / 2 and falls exponentially on either side: the trapezoidal rule of step h errs by about exp(-pi**2 / h)
(Trefethen & Weideman 2014, theorem 5.1). Weights are centred at c = E log w, which keeps t near 1.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, func
from torch.nn import functional as F

from vae_fn.errors import check_count
from vae_fn.gradients.oracles.exact import Exact, refined
from vae_fn.gradients.oracles.supports import supports
from vae_fn.gradients.oracles.weighing import Averaged, PerNode, Target, integrate
from vae_fn.gradients.problem import Problem, check_sampled
from vae_fn.types import Params

STEP = 1 / 3
"""Of u in the coarsest computation, where exp(-pi**2 / h) is 1e-13; those that follow have 1/4, 1/5, ..."""

CUT = 1e-13
"""What the integral may lack at either end of its range in the coarsest computation; then 1e-14, 1e-15, ..."""

ENTRIES = 2**18
"""Numbers at a time: as many as caches hold."""

NEGLIGIBLE = 1e-30
"""The weight up to which a node is left out: it moves M, which lies in [0, 1], by no more than that, and its log-weight
moves the bound by no more than K times that."""

SATURATED = 7.0
"""The log of t w beyond which exp(-t w) is 0 in float64."""


WIDEST = 20_000.0
"""The most nats below their mean to which log-weights may reach."""


class Grid(NamedTuple):
    """Where the integrand is taken: u = low + step * j for j < points.

    Attributes:
        centre: c, by example.
        low: the first u, by example.
        step: of u.
        points: how many there are.
        lost: a bound on the integral outside of the range, by example.
    """

    centre: Float64[Tensor, "*b"]
    low: Float64[Tensor, "*b"]
    step: float
    points: int
    lost: Float64[Tensor, "*b"]


def bound(problem: Problem, params: Params, samples: int, order: int | None = None) -> Exact:
    """E log (1/K) sum_k w_k with log w = f + beta (log p - log q), for any number of samples K.

    Up to three continuous latents are integrated, discrete ones enumerated; of more normal latents log w has to be a
    quadratic form. A finer computation has a higher order, a shorter step and a wider range.

    Args:
        problem: in float64.
        params: where.
        samples: K.
        order: of the rule of each continuous latent, as in `quadrature.elbo`.

    Raises:
        ValueError: part of log w is exact, K is below 1 or no whole number, a log-weight is not finite, q has too
            many dimensions or states, or the problem is not in float64.
    """
    check_sampled(problem)
    check_count("samples", samples)
    levels = enumerate(supports(problem, params, order))
    return refined(
        (
            integrate(problem, params, support, (support.log_mean or target_of)(samples, level))
            for level, support in levels
        ),
        "integral",
    )


def target_of(samples: int | float, level: int) -> Target:
    """The bound as a function of log-weights and weights, the finer the higher the level."""
    step, cut = 1 / (1 / STEP + level), CUT / 10**level

    def averaged(log_weights: PerNode, weights: PerNode) -> Averaged:
        return log_mean(log_weights, weights, int(samples), grid_of(log_weights, weights, int(samples), step, cut))

    return averaged


def log_mean(log_weights: PerNode, weights: PerNode, samples: int, grid: Grid) -> Averaged:
    """E log (1/K) sum_k w_k, where a sample is node n with the probability `weights[n]`.

    Its derivative in the log-weight of a node is the mean of the normalised weight of that node, summed over samples:
    these sum to 1. That in `weights`, which sum to 1 themselves, is known up to a constant.
    """
    total = grid.centre - math.log(samples)
    (heavy,) = (weights > NEGLIGIBLE).reshape(len(weights), -1).any(1).nonzero(as_tuple=True)
    centred, kept = (log_weights - grid.centre)[heavy], weights[heavy]
    by_log_weight, by_weight = torch.zeros_like(centred), torch.zeros_like(kept)
    slope = func.grad_and_value(_sum, argnums=(0, 1), has_aux=True)
    for u in _points(grid, centred):
        (first, second), (_, part) = slope(centred, kept, samples, u)
        total = total + grid.step * part
        by_log_weight, by_weight = by_log_weight + grid.step * first, by_weight + grid.step * second
    slopes = (torch.zeros_like(weights).index_put((heavy,), found) for found in (by_log_weight, by_weight))
    return Averaged(total, *slopes, lost=float(grid.lost.max()))


def grid_of(log_weights: PerNode, weights: PerNode, samples: int, step: float, cut: float) -> Grid:
    """A grid that leaves out less than `cut` at either end.

    Below u = low the integrand is at most exp(u) max(1, K E w). Above, with x = t w, the integral of exp(-x) dt / t is
    at most exp(-x) log(1 + 1 / x), and M falls.

    Raises:
        ValueError: a log-weight is not finite, or they reach so wide that the integral has too long a range.
    """
    if not bool(log_weights.isfinite().all()):
        raise ValueError(
            "a log-weight is not finite, and so the bound is not: look where f, log p or log q is infinite"
        )
    centre = (weights * log_weights).sum(0)
    centred = log_weights - centre
    largest = torch.logsumexp(centred + weights.log(), 0) + math.log(samples)
    low = math.log(cut) - largest.clamp(min=0)
    high = 0.0
    while bool(((above := _above(centred, weights, samples, high)) > cut).any()):
        high += 1.0
        if high > WIDEST:
            raise ValueError(
                f"log-weights reach more than {WIDEST:g} nats below their mean, and the bound is an integral over "
                "that range: bring q nearer to the posterior, or compare with the mean of many draws"
            )
    points = math.ceil((high - float(low.min())) / step) + 1
    return Grid(centre, low, step, points, cut + above)


def _above(centred: PerNode, weights: PerNode, samples: int, u: float) -> Float64[Tensor, "*b"]:
    """A bound on the integral of exp(-t) + M(t)**K above u."""
    log_x = (centred + u).clamp(max=SATURATED)
    alive, t = weights * torch.exp(-torch.exp(log_x)), math.exp(min(u, SATURATED))
    inverse = F.softplus(-log_x)  # log(1 + 1 / x), also where x underflows
    return alive.sum(0) ** (samples - 1) * (alive * inverse).sum(0) + math.exp(-t) * math.log1p(1 / t)


def _points(grid: Grid, like: PerNode) -> Iterator[Float64[Tensor, " t *b"]]:
    """The points u, as many at a time as memory is granted."""
    for part in torch.arange(grid.points, dtype=like.dtype).split(max(1, ENTRIES // max(1, like.numel()))):
        yield grid.low + grid.step * part.reshape(-1, *(1,) * grid.low.ndim)


def _sum(
    centred: PerNode, weights: PerNode, samples: int, u: Float64[Tensor, " t *b"]
) -> tuple[Float64[Tensor, ""], Float64[Tensor, "*b"]]:
    """The sum of the integrand over points u, over the batch and by example.

    Not M but 1 - M is summed, which keeps its digits where M is near 1.
    """
    x = torch.exp((centred + u.unsqueeze(1)).clamp(max=SATURATED))
    missing = -(weights * torch.expm1(-x)).sum(1)
    power = torch.expm1(samples * torch.log1p(-missing.clamp(max=1 - torch.finfo(missing.dtype).eps)))
    part = (torch.expm1(-torch.exp(u)) - power).sum(0)
    return part.sum(), part
