"""The bounded tier: a test of a mean whose level is exact at every number of draws, given a bound on the variance.

For s = lambda (x - mu), the product of (1 + s + s**2 / 2) / (1 + lambda**2 v / 2) over draws has an expectation of at
most 1 under every law with mean mu and a variance of at most v, heavy tails included: it is an e-value (after Catoni
2012, eq. 2.1; Wang and Ramdas 2023). By Markov's inequality its mean over coordinates and signs exceeds 1 / alpha
with a probability of at most alpha. Noise that can be integrated gives v exactly: `moments`.
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
from vae_fn.verify.sample import ENTRIES, NOTHING, Draw, check_fresh, head_of
from vae_fn.verify.seeds import key_of, name_of, replay_line
from vae_fn.verify.statistics import quantile
from vae_fn.verify.verdict import Verdict

MOST = 10**8
"""The most draws."""


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
        `biased` where the e-value reaches 1 / alpha; `rejected` for draws that are not finite. A bound that is finer
        than the rounding of the draws counts as that: coordinates without spread are compared to rounding.
        `underpowered` where it would take too many draws.

    Raises:
        ValueError: a bound is negative or not finite, `detect` is not positive, `alpha` or `beta` is not in (0, 1), the
            trees differ, or the draws do not depend on the key.
    """
    start = time.perf_counter()
    expected = as_tensors(expected)
    bound, name, replay = as_tensors(expand_like(variance, expected)), name_of(draw, name), replay_line()
    coordinates, centre, scale = coordinates_of(expected), vector(expected), vector(bound).sqrt()
    finite = scale.isfinite() & (scale >= 0)
    if not 0 < detect < math.inf or coordinates_of(bound) != coordinates or not bool(finite.all()):
        raise ValueError(
            "give a positive detect, and a variance bound of 0 or more for every coordinate of the expected value, "
            "which no bound at all, inf, is not"
        )
    ledger.check_error("beta", beta)
    ledger.assertion("mean_bounded", name, alpha, replay)
    size = 2 * coordinates.size
    count, rate = _plan(size, detect, alpha, beta)
    if count > MOST:
        detail = f"it would take {count} draws, more than {MOST}: ask for a larger bias, or integrate"
        return Verdict("mean_bounded", name, "bounded", "underpowered", detail, alpha=alpha, replay=replay)

    log_e, sums = torch.zeros(2, coordinates.size, dtype=torch.float64), torch.zeros_like(centre)
    key, chunk = key_of(name, expected, "mean_bounded"), max(1, ENTRIES // coordinates.size)
    head = NOTHING
    for index, first in enumerate(range(0, count, chunk)):
        n = min(chunk, count - first)
        draws = draw(random.fold_in(key, index), n)
        rows = coordinates.flatten(draws, n) - centre
        if index:
            check_fresh(head, head_of(rows))
        head = head_of(rows)
        scale = torch.maximum(scale, tolerance_of(tree.leaves(draws)) * (1 + centre.abs()) / detect)
        log_e, sums = log_e + _log_e_values(rows / scale, rate), sums + rows.sum(0)

    evidence = float(torch.logsumexp(log_e, (0, 1))) - math.log(size)
    finite = sums.isfinite()
    at = int(torch.where(finite, log_e.amax(0), torch.inf).argmax())
    gap = float(sums[at] / count)
    detail = f"{gap + float(centre[at]):.6g} where {float(centre[at]):.6g} is claimed, at {coordinates.name(at)}"
    if not bool(finite.all()):
        status, detail = "rejected", f"draws are not finite at {coordinates.name(at)}"
    else:
        status = "biased" if evidence >= -math.log(alpha) else "passed"
    return Verdict(
        "mean_bounded",
        name,
        "bounded",
        status,
        detail,
        gap=abs(gap),
        resolvable=float((detect * scale).max()),
        coordinate=coordinates.name(at),
        draws=count,
        stage=1,
        statistic=evidence,
        alpha=alpha,
        seconds=time.perf_counter() - start,
        replay=replay,
    )


def _plan(size: int, detect: float, alpha: float, beta: float) -> tuple[int, float]:
    """How many draws, and lambda in standard deviations: the best one against a bias that is seen late."""
    error, growth = quantile(beta), math.sqrt(2 * math.log(size / alpha))
    count = math.ceil(((error + growth) / detect) ** 2)
    return count, growth / math.sqrt(count)


def _log_e_values(x: Float64[Tensor, "n d"], rate: float) -> Float64[Tensor, "2 d"]:
    """The logarithm of the product over draws x of variance 1 at most, for both signs of lambda."""
    penalty = len(x) * math.log1p(rate**2 / 2)
    return torch.stack([torch.log1p(s + s**2 / 2).sum(0) for s in (rate * x, -rate * x)]) - penalty
