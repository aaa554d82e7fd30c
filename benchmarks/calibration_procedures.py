"""Tests of a mean by other projects, written from their sources for comparison: mcunit's and TensorFlow Probability's.

Neither is a part of vae_fn.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.special import ndtr

from vae_fn import random
from vae_fn.verify.sample import Draw


class Outcome(NamedTuple):
    """What a procedure said.

    Attributes:
        alarm: it rejected.
        refused: it said nothing: inconclusive, or a precondition failed.
        draws: how many it took.
        tail: the Pareto shape that it saw.
    """

    alarm: bool
    refused: bool
    draws: int
    tail: float | None = None


def mcunit(draw: Draw, expected: Tensor, level: float = 1e-5, first: int = 1000, steps: int = 7, more: int = 4):
    """The sequential test of Gandy and Scott (2020), algorithm 1, with the z test of `expect_mc_iid_mean`.

    As in the R package mcunit 0.3.2 (R/expect_mc.R), whose defaults these are: a p-value below beta rejects, one above
    gamma + beta passes, and one between takes more draws, all fresh; beta grows by 1 / gamma at each step. Several
    p-values are corrected by Bonferroni, as its `npval` does.
    """
    beta, size, used = level / steps, first, 0
    gamma = beta ** (1 / steps)
    for step in range(steps):
        x = draw(random.key(0), size).double()
        used += size
        z = (x.mean(0) - expected).abs() / (x.std(0) / math.sqrt(size))
        p = float((2 * ndtr(-z)).min()) * len(expected)
        if p <= beta:
            return Outcome(True, False, used)
        if p > gamma + beta:
            break
        beta, size = beta / gamma, size * more if step == 0 else size
    return Outcome(False, False, used)


def tfp(x: Tensor, expected: Tensor, low: Tensor, high: Tensor, rate: float = 1e-6) -> Outcome:
    """`assert_true_mean_equal_by_dkwm` of TensorFlow Probability (distributions/internal/statistical_testing.py).

    The Dvoretzky-Kiefer-Wolfowitz-Massart band about the empirical distribution bounds the mean, given bounds on the
    draws; `rate` is shared out among the coordinates. A draw outside the bounds fails its precondition.
    """
    count, size = x.shape
    if bool((x > high).any() or (x < low).any()):
        return Outcome(False, True, count)
    band = math.sqrt(math.log(2 * size / rate) / (2 * count))
    ordered = x.double().T.contiguous().sort(1).values
    most = _largest_mean(ordered, band, high)
    least = -_largest_mean(-ordered.flip(1), band, -low)
    return Outcome(bool(((expected > most) | (expected < least)).any()), False, count)


def _largest_mean(ordered: Tensor, band: float, high: Tensor) -> Tensor:
    """The mean after a mass of `band` has been moved from the smallest draws to the bound."""
    count = ordered.shape[1]
    steps = torch.arange(1, count + 1, dtype=ordered.dtype) / count
    return ordered @ (steps - band).clamp(0, 1 / count) + band * high
