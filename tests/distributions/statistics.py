"""Statistical checks, each with a false-alarm rate of at most ALPHA whatever it is pointed at.

The noise is keyed by what is tested, so a check that passed passes again.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.special import ndtri

from tests.distributions.families import key_of
from vae_fn.types import Key

ALPHA = 1e-9
STAGES = 3


def check_mean(draw: Callable[[Key], Tensor], expected: Tensor, *what: object) -> None:
    """The columns of `draw(key)`, shape `(n, ...)`, have this mean.

    Rejected only if STAGES fresh samples each reject at ALPHA ** (1 / STAGES) = 1e-3, shared out among the columns: the
    normal approximation is then needed at 3 to 4 standard errors and not at 6. Columns without spread are compared as
    numbers.
    """
    level = ALPHA ** (1 / STAGES) / (2 * expected.numel())
    bound = -ndtri(torch.tensor(level, dtype=torch.float64))
    for stage in range(STAGES):
        draws = draw(key_of("mean", stage, *what))
        error = (draws.mean(0) - expected).abs()
        if bool((error <= bound * draws.std(0) / math.sqrt(len(draws)) + 1e-12 * (1 + expected.abs())).all()):
            return
    raise AssertionError(f"the mean of {what} is not {expected}: off by {error} in the last of {STAGES} samples")


def check_law(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> None:
    """The columns of `values`, shape `(n, ...)`, have these distribution functions (Dvoretzky-Kiefer-Wolfowitz)."""
    ordered = values.sort(0).values
    n, columns = len(ordered), ordered[0].numel()
    ranks = torch.arange(n, dtype=ordered.dtype).reshape(-1, *[1] * (ordered.ndim - 1))
    band = math.sqrt(math.log(2 * columns / ALPHA) / (2 * n))
    wanted = cdf(ordered)
    gap = torch.maximum(wanted - ranks / n, (ranks + 1) / n - wanted).max()
    assert gap <= band, f"the largest gap between the distribution functions is {gap}, the band {band}"


def check_frequencies(hits: Tensor, mass: Tensor) -> None:
    """The columns of `hits`, n rows of zeros and ones, have these probabilities (Hoeffding)."""
    band = math.sqrt(math.log(2 * mass.numel() / ALPHA) / (2 * len(hits)))
    gap = (hits.mean(0) - mass).abs().max()
    assert gap <= band, f"the largest gap between frequency and probability is {gap}, the band {band}"
