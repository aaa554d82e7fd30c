"""The closed form of KL(q || p), against integrals, against draws, and where q is p."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, func

from vae_fn import random, tree
from vae_fn.distributions import Family
from vae_fn.distributions.kl import log_ratio
from vae_fn.types import Key, Tree
from vae_fn.verify.bounded import mean_bounded
from vae_fn.verify.distributions.comparing import compare, sizes
from vae_fn.verify.distributions.integrals import divergence, spread
from vae_fn.verify.distributions.laws import nodes
from vae_fn.verify.distributions.measures import Measure
from vae_fn.verify.distributions.subject import Subject, cast
from vae_fn.verify.sampled import mean
from vae_fn.verify.verdict import Verdict

Divergence = Callable[[Family, Family], Tensor]

vjp: Callable[..., Any] = func.vjp

TOLERANCE = 1e-8
"""Relative to the integral, or to 1e-4 nats where it is smaller."""

GRADIENT = 1e-7
"""Relative to 1 and the size of the gradient."""

ULPS = 4
"""Units of rounding, for each number of an event, by which a divergence may be off near 0."""

DISTANCES = (1e-1, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""Relative changes of the parameters, from which nearby members are made."""


def by_quadrature(subject: Subject, how: Measure, p: Family, closed: Divergence) -> list[Verdict]:
    """The closed form is E_q[log q - log p], and so is its gradient in the parameters of both."""
    start = time.perf_counter()

    def formula(q: Family, p: Family) -> Float64[Tensor, " l"]:
        return closed(q, p).expand(subject.batch).reshape(-1)

    def integral(q: Family, p: Family) -> Float64[Tensor, " l"]:
        return divergence(subject, how, q, p)

    (seen, ours), (expected, theirs) = (_value_and_gradients(fn, subject.q, p) for fn in (formula, integral))
    slack = (TOLERANCE + 1e3 * subject.blur) * expected.abs().clamp(min=1e-4)
    value = compare("kl", subject.name, seen, expected, slack, since=start, tier="exact", draws=nodes(how))
    rounding = max(torch.finfo(torch.float64).eps, subject.blur / 100) * float(1 + expected.abs().max())
    slack = tree.map(
        lambda leaf, score: (GRADIENT + 1e3 * subject.blur) * leaf + rounding * score,
        sizes(theirs),
        {"q": sizes(_score(subject, subject.q)), "p": sizes(_score(subject, p))},
    )
    gradient = compare("kl gradient", subject.name, ours, theirs, slack, since=start, tier="exact", draws=nodes(how))
    return [value, gradient]


def by_draws(subject: Subject, how: Measure | None, p: Family, closed: Divergence | None) -> Verdict:
    """The mean of log q - log p over draws of q is the divergence: the integral, or else the closed form."""
    own = subject.q.mean.ndim - len(subject.event)
    name = f"log ratio of {subject.name}"

    def draw(key: Key, count: int) -> Tree:
        front = (count, *subject.batch[: len(subject.batch) - own])
        found = log_ratio(subject.q, p, random.draw(key, subject.q.noise_like(front), torch.float64))
        return found.detach().reshape(count, -1)

    if how is not None:
        verdict = mean_bounded(draw, divergence(subject, how, subject.q, p), spread(subject, how, p), name=name)
    else:
        assert closed is not None
        verdict = mean(draw, closed(subject.q, p).expand(subject.batch).reshape(-1), name=name)
    return replace(verdict, claim="sampled kl", name=subject.name)


def at_equality(subject: Subject, closed: Divergence) -> Verdict:
    """KL(q || q) is 0; for a p that is nearly q, KL(q || p) is not negative, and the same in float32 and float64.

    A divergence of densities is of the order of the squared distance, and is allowed the rounding of the distance.
    """
    start = time.perf_counter()
    seen, expected, allowed = {}, {}, {}
    for dtype in (torch.float64, torch.float32):
        q, ulps = subject.cast(dtype), ULPS * subject.dimensions * torch.finfo(dtype).eps
        found = closed(q, q)
        seen[f"itself in {dtype}"], expected[f"itself in {dtype}"] = found, torch.zeros_like(found)
        allowed[f"itself in {dtype}"] = torch.full_like(found, ulps)
        for distance in DISTANCES:
            p, name = _near(subject, q, distance), f"what is {distance} away in {dtype}"
            found, exact = closed(q, p), closed(cast(q, torch.float64), cast(p, torch.float64))
            seen[name] = found if dtype == torch.float32 else found.clamp(max=0)
            expected[name] = exact if dtype == torch.float32 else torch.zeros_like(exact)
            allowed[name] = ulps * (
                torch.ones_like(exact) if subject.discrete else exact.abs() + exact.abs().sqrt() + distance
            )
    return compare("kl at equality", subject.name, seen, expected, allowed, since=start)


def _near(subject: Subject, q: Family, distance: float) -> Family:
    """Q with every number of its tensors changed by up to this relative distance."""

    def moved(index: int, leaf: Tensor) -> Tensor:
        key = random.fold_in(subject.key(f"near {distance}"), index)
        return leaf * (1 + distance * (2 * random.uniform(key, tuple(leaf.shape), leaf.dtype) - 1))

    named = tree.flat_names(q)
    return tree.from_names({name: moved(i, leaf) for i, (name, leaf) in enumerate(named.items())}, q)


def _score(subject: Subject, law: Family) -> Tree:
    """The derivative of the log density at a draw: what the terms of a gradient of the divergence are made of."""
    density, pull = vjp(lambda law: subject.log_density(law, subject.pilot[:1]), law)
    return pull(torch.ones_like(density))[0]


def _value_and_gradients(fn: Divergence, q: Family, p: Family) -> tuple[Tensor, Tree]:
    value, pull = vjp(fn, q, p)
    by_q, by_p = pull(torch.ones_like(value))
    return value, {"q": by_q, "p": by_p}
