"""The bounded tier: a test of a mean whose level is exact at every number of draws, given a bound on the variance.

For s = lambda (x - mu), the product of (1 + s + s**2 / 2) / (1 + lambda**2 v / 2) over draws has an expectation of at
most 1 under every law with mean mu and a variance of at most v, heavy tails included: it is an e-value (after Catoni
2012, eq. 2.1; Wang and Ramdas 2023). By Markov's inequality its mean over coordinates and signs exceeds 1 / alpha
with a probability of at most alpha. Noise that can be integrated gives v exactly: `exact.moments`.
"""

import math
import time

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Tree
from vae_fn.verify import ledger
from vae_fn.verify.coordinates import as_tensors, coordinates_of, expand_like, tolerance_of, vector
from vae_fn.verify.sample import ENTRIES, Draw
from vae_fn.verify.seeds import key_of, name_of, replay_line
from vae_fn.verify.statistics import quantile
from vae_fn.verify.verdict import Verdict


def mean_bounded(
    draw: Draw,
    expected: Tree,
    variance: Tree,
    *,
    name: str | None = None,
    detect: float = 0.1,
    alpha: float = ledger.ALPHA,
    beta: float = 1e-3,
) -> Verdict:
    """Check that the mean of the draws of a black box is `expected`, given a bound on their variances.

    Args:
        draw: `draw(key, n)` gives n independent draws: a tensor or a pytree with n in front of every leaf.
        expected: a tree like one draw.
        variance: bounds on the variance of each coordinate: a tree like `expected`, or one number for all.
        name: of what is checked; by default where `draw` is defined.
        detect: the bias to be caught in every coordinate, in standard deviations that the bounds give.
        alpha: the probability of rejecting a true claim, for any law and any number of draws.
        beta: the probability of missing a bias of that size (the number of draws is sized by a normal approximation).

    Returns:
        `biased` where the e-value reaches 1 / alpha, and where a coordinate whose bound is 0 has another value;
        `rejected` for draws that are not finite.

    Raises:
        ValueError: a bound is negative, `detect` is not positive, or the trees differ.
    """
    start = time.perf_counter()
    expected = as_tensors(expected)
    name, replay = name_of(draw, name), replay_line()
    ledger.assertion("mean_bounded", name, alpha, replay)
    coordinates, centre = coordinates_of(expected), vector(expected)
    scale = vector(as_tensors(expand_like(variance, expected))).sqrt()
    if not detect > 0 or scale.shape != centre.shape or not bool((scale >= 0).all()):
        raise ValueError("give a positive detect, and a variance bound of 0 or more for every coordinate")
    size, error = 2 * coordinates.size, quantile(beta)
    count = math.ceil(((error + math.sqrt(2 * math.log(size / alpha))) / detect) ** 2)
    rate = torch.where(scale > 0, (detect - error / math.sqrt(count)) / scale, 0.0)
    rates = torch.stack([rate, -rate])

    log_e, gap, sums = torch.zeros(2, coordinates.size, dtype=torch.float64), torch.zeros(()), torch.zeros_like(centre)
    finite, rounding = torch.ones_like(centre, dtype=torch.bool), 0.0
    key, chunk = key_of(name, expected, "mean_bounded"), max(1, ENTRIES // coordinates.size)
    for index, first in enumerate(range(0, count, chunk)):
        n = min(chunk, count - first)
        draws = draw(random.fold_in(key, index), n)
        rows, rounding = coordinates.flatten(draws, n) - centre, tolerance_of(tree.leaves(draws))
        log_e, sums, finite = log_e + _growth(rows, rates), sums + rows.sum(0), finite & rows.isfinite().all(0)
    log_e = log_e - count * torch.log1p((rates * scale) ** 2 / 2)
    gap, slack = (sums / count).abs(), rounding * (1 + centre.abs())
    constant = (scale == 0) & (gap > slack)

    evidence = float(torch.logsumexp(log_e, (0, 1))) - math.log(size)
    worst = torch.where(constant, torch.inf, log_e.amax(0)).nan_to_num(torch.inf)
    at = int(worst.argmax())
    seen = float(sums[at] / count + centre[at])
    off = f"{seen:.6g} where {float(centre[at]):.6g} is claimed, at {coordinates.name(at)}"
    if not bool(finite.all()):
        status, detail = "rejected", f"draws are not finite at {coordinates.name(int((~finite).float().argmax()))}"
    elif bool(constant.any()) or evidence >= -math.log(alpha):
        status, detail = "biased", off
    else:
        status, detail = "passed", off
    return Verdict(
        "mean_bounded",
        name,
        "bounded",
        status,
        detail,
        gap=float(gap[at]),
        resolvable=float((detect * scale).max()),
        coordinate=coordinates.name(at),
        draws=count,
        stage=1,
        statistic=evidence,
        alpha=alpha,
        seconds=time.perf_counter() - start,
        replay=replay,
    )


def _growth(rows: Float64[Tensor, "n d"], rates: Float64[Tensor, "2 d"]) -> Float64[Tensor, "2 d"]:
    """The logarithm of the numerators' product, for both signs of the rate."""
    return torch.stack([torch.log1p(s + s**2 / 2).sum(0) for s in (rate * rows for rate in rates)])
