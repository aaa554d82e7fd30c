"""What a distribution is: its mass, the law of its samples, its mean; against integrals of its `log_prob`."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random
from vae_fn.types import Key, Tree
from vae_fn.verify.bounded import mean_bounded
from vae_fn.verify.distributions.comparing import compare
from vae_fn.verify.distributions.integrals import Masses, joint_masses, log_mass, masses
from vae_fn.verify.distributions.measures import Joint, Measure, thresholds
from vae_fn.verify.distributions.subject import Rows, Subject
from vae_fn.verify.sampled import mean
from vae_fn.verify.verdict import Verdict

GROUPS = 64
"""The most groups of states whose frequencies are compared."""

PAIRS = 28
"""The most pairs of coordinates whose dependence is compared: all of eight, neighbours of more."""

TOLERANCE = 1e-9
"""Of integrals, in nats and in standard deviations; what float64 blurs is added."""


Events = Callable[[Rows], dict[str, Tensor]]
"""Which of some events have happened, ones and zeros."""


def normalised(subject: Subject, how: Measure) -> Verdict:
    """The density integrates to 1, or the masses sum to 1: the logarithm of that, in nats."""
    start = time.perf_counter()
    found = log_mass(subject, how, subject.q)
    allowed = TOLERANCE + 16 * subject.dimensions * subject.blur
    verdict = compare(
        "normalised", subject.name, found, torch.zeros_like(found), allowed, since=start, tier="exact", draws=nodes(how)
    )
    if not subject.complete and not verdict.passed and float(found.max()) <= allowed:
        detail = f"the states that were drawn have a mass of {float(found.min().exp()):.6g}: add a method `states()`"
        return replace(verdict, status="inconclusive", detail=detail)
    return verdict


def law(subject: Subject, how: Measure, detect: float) -> Verdict:
    """Draws have the law of `log_prob`: at quantiles of every coordinate and at the medians of pairs, or by state."""
    start = time.perf_counter()
    if isinstance(how, Joint) and subject.states is not None:
        events, chances = _states(subject, how, subject.states)
    else:
        events, chances = _cells(subject, how)
    variance = {name: (p * (1 - p)).clamp(min=0) for name, p in chances.items()}

    def draw(key: Key, count: int) -> Tree:
        return events(subject.draw(key, count))

    verdict = mean_bounded(draw, chances, variance, name=f"law of {subject.name}", detect=detect)
    return replace(verdict, claim="law", name=subject.name, seconds=time.perf_counter() - start)


def exact_mean(subject: Subject, how: Measure) -> Verdict:
    """The declared mean is the integral."""
    start = time.perf_counter()
    found, variance = moments(subject, how)
    allowed = (TOLERANCE + 1e3 * subject.blur) * variance.sqrt() + 1e-15 * (1e-300 + found.abs())
    declared = subject.rows(subject.q.mean)
    return compare("mean", subject.name, declared, found, allowed, since=start, tier="exact", draws=nodes(how))


def sampled_mean(subject: Subject, how: Measure | None) -> Verdict:
    """The declared mean is that of draws."""
    start = time.perf_counter()
    expected, name = subject.rows(subject.q.mean), f"mean of {subject.name}"
    if how is not None:
        verdict = mean_bounded(subject.draw, expected, moments(subject, how)[1], name=name)
    elif subject.discrete:
        # The variance of what lies between two values is largest if nothing lies inside (Bhatia and Davis 2000).
        low, high = subject.pilot.amin(), subject.pilot.amax()
        verdict = mean_bounded(subject.draw, expected, ((high - expected) * (expected - low)).clamp(min=0), name=name)
    else:
        verdict = mean(subject.draw, expected, name=name)
    return replace(verdict, claim="sampled mean", name=subject.name, seconds=time.perf_counter() - start)


def moments(subject: Subject, how: Measure) -> tuple[Float64[Tensor, "l d"], Float64[Tensor, "l d"]]:
    """The mean and the variance of every coordinate."""
    found = [_moments(one) for one in masses(subject, how, subject.q)]
    return torch.stack([m for m, _ in found], -1), torch.stack([v for _, v in found], -1)


def nodes(how: Measure) -> int:
    """How many points of each line were used."""
    return len(how.nodes) if isinstance(how, Joint) else sum(len(rule.nodes) for rule in how.rules)


def _moments(one: Masses) -> tuple[Float64[Tensor, " l"], Float64[Tensor, " l"]]:
    centre = (one.masses * one.points).sum(0)
    return centre, (one.masses * (one.points - centre) ** 2).sum(0)


def _cells(subject: Subject, how: Measure) -> tuple[Events, dict[str, Tensor]]:
    """Whether coordinates are below their quantiles, and pairs below their medians; and with which chances."""
    cuts = thresholds(subject)
    half = cuts[len(cuts) // 2]
    below = torch.stack([one.below(cuts[..., i]) for i, one in enumerate(masses(subject, how, subject.q))], -1)
    pairs = _pairs(subject.dimensions)
    first, second = pairs.unbind(-1)

    def events(rows: Rows) -> dict[str, Tensor]:
        under = rows <= half
        return {
            "below": (rows.unsqueeze(1) <= cuts).double(),
            "together": (under[..., first] & under[..., second]).double(),
        }

    at_half = below[len(cuts) // 2]
    if isinstance(how, Joint):
        share = joint_masses(subject, how, subject.q).unsqueeze(-1)
        together = (share * events(how.nodes)["together"]).sum(0)
    else:
        together = at_half[..., first] * at_half[..., second]
    return events, {"below": below, "together": together}


def _pairs(d: int) -> Tensor:
    pairs = torch.combinations(torch.arange(d))
    return pairs if len(pairs) <= PAIRS else torch.stack([torch.arange(d), (torch.arange(d) + 1) % d], -1)


def _states(subject: Subject, how: Joint, states: Float64[Tensor, "n d"]) -> tuple[Events, dict[str, Tensor]]:
    """Which of at most `GROUPS` groups of states the event is in, or `elsewhere`; and with which chances."""
    # A random projection tells states apart at once; it is a hash, and a value that is no state misses all of them.
    direction = random.uniform(subject.key("projection"), (subject.dimensions,), torch.float64)
    hashes, order = (states @ direction).sort()
    count = min(GROUPS, len(order))
    group = (torch.arange(len(order)) % count)[torch.argsort(order)]

    def groups(rows: Rows) -> dict[str, Tensor]:
        hashed = rows @ direction
        place = torch.searchsorted(hashes, hashed - 1e-9).clamp(max=len(hashes) - 1)
        found = (hashes[place] - hashed).abs() <= 1e-9
        index = torch.where(found, group[order[place]], count)
        hits = (index.unsqueeze(-1) == torch.arange(count + 1)).double()
        return {"state": hits[..., :count], "elsewhere": hits[..., count:]}

    share = joint_masses(subject, how, subject.q).unsqueeze(-1)
    chances = {name: (share * hits).sum(0) for name, hits in groups(how.nodes).items()}
    if not subject.complete:  # what the pilot missed must go somewhere
        missing = 1 - log_mass(subject, how, subject.q).exp().unsqueeze(-1)
        chances = {"state": chances["state"] * (1 - missing), "elsewhere": missing.clamp(min=0)}
    return groups, chances
