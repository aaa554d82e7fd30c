"""Times of what the tutorial's program does over times of the same thing here, round by round in one process."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import tutorial_program
from torch import distributions
from torch.nn import functional as F

from vae_fn import random, tree
from vae_fn.data import epoch_order, load_mnist, scale
from vae_fn.distributions import Normal, kl, positive
from vae_fn.models.priors import standard_normal
from vae_fn.types import Params

BATCH = tutorial_program.BATCH

WINDOW = 0.05
"""Seconds that a window of calls takes at least."""

Ratio = dict[str, float]
"""Quartiles of the ratio over the rounds, and the median times of a call of each in milliseconds."""


def families(rounds: int, width: int) -> Ratio:
    """A sample, its KL to N(0, I) and the gradient: MultivariateNormal with a diagonal, over Normal."""
    raw = random.normal(random.key(3), (BATCH, 2 * width)).requires_grad_()
    zeros, unit = torch.zeros(BATCH, width), torch.eye(width).expand(BATCH, width, width)

    def full() -> None:
        loc, rest = raw.chunk(2, -1)
        q = distributions.MultivariateNormal(loc, scale_tril=torch.diag_embed(F.softplus(rest) + 1e-8))
        p = distributions.MultivariateNormal(zeros, scale_tril=unit)
        (q.rsample().sum() + distributions.kl_divergence(q, p).sum()).backward()

    def diagonal() -> None:
        loc, rest = raw.chunk(2, -1)
        q, p = Normal(loc, positive(rest)), standard_normal(width, like=raw)
        noise = random.normal(random.key(4), (BATCH, width))
        (q.sample(noise).sum() + kl(q, p).sum()).backward()

    return ratio(full, diagonal, rounds)


def gradient_norms(rounds: int, grads: Params) -> Ratio:
    """The norm of a model's gradients by a loop with `.item()`, over one norm of all."""

    def loop() -> float:
        return sum(leaf.norm(2).item() ** 2 for leaf in tree.leaves(grads)) ** 0.5

    return ratio(loop, lambda: tree.global_norm(grads), rounds)


def loading(rounds: int, folder: Path) -> Ratio:
    """A batch from the tutorial's data loader, over one of uint8 rows in memory."""
    images = load_mnist().train.images
    rows = epoch_order(random.key(5), 0, len(images))[:BATCH]
    loader = tutorial_program.batches_from_loader(folder)
    return ratio(lambda: next(loader), lambda: scale(images[rows]), rounds)


def ratio(tutorial: Callable[[], Any], here: Callable[[], Any], rounds: int) -> Ratio:
    """How many times as long a call takes; every round has a window of each."""
    programs = [(program, _calls(program)) for program in (tutorial, here)]
    times = [[_seconds(*program) for program in programs] for _ in range(rounds)]
    quartiles = statistics.quantiles([slow / fast for slow, fast in times], n=4)
    milliseconds = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
    return dict(zip(("q1", "median", "q3", "tutorial_ms", "here_ms"), (*quartiles, *milliseconds), strict=True))


def _calls(program: Callable[[], Any]) -> int:
    calls = 1
    while calls * _seconds(program, calls) < WINDOW:
        calls *= 2
    return calls


def _seconds(program: Callable[[], Any], calls: int) -> float:
    """The mean time of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        program()
    return (time.perf_counter() - start) / calls
