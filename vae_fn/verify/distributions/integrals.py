"""Masses, laws of coordinates and divergences as sums over nodes.

They are functions of the parameters too: the nodes are held while a sum is differentiated.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn.distributions import Family
from vae_fn.verify.distributions.measures import Joint, Lines, Measure, clean, moved
from vae_fn.verify.distributions.panels import Points
from vae_fn.verify.distributions.subject import Subject


class Masses(NamedTuple):
    """The law of one coordinate as points and their masses, which sum to 1."""

    points: Points
    masses: Points

    def below(self, thresholds: Float64[Tensor, "m l"]) -> Float64[Tensor, "m l"]:
        """The mass at or below each threshold."""
        return ((self.points <= thresholds.unsqueeze(1)) * self.masses).sum(1)


def log_mass(subject: Subject, how: Measure, q: Family) -> Float64[Tensor, " l"]:
    """The logarithm of what exp(log_prob) integrates to."""
    if isinstance(how, Joint):
        return torch.logsumexp(how.weights.log() + clean(subject.log_density(q, how.nodes)), 0)
    along = [_profile(subject, how, q, i)[1] for i in range(subject.dimensions)]
    return subject.log_density(q, how.centre) + torch.stack(along).sum(0)


def masses(subject: Subject, how: Measure, q: Family) -> list[Masses]:
    """The law of every coordinate."""
    if isinstance(how, Joint):
        share = joint_masses(subject, how, q)
        return [Masses(how.nodes[..., i], share) for i in range(subject.dimensions)]
    return [_coordinate(subject, how, q, i) for i in range(subject.dimensions)]


def joint_masses(subject: Subject, how: Joint, q: Family) -> Float64[Tensor, "n l"]:
    """The masses of whole events."""
    return torch.softmax(how.weights.log() + clean(subject.log_density(q, how.nodes)), 0)


def divergence(subject: Subject, how: Measure, q: Family, p: Family) -> Float64[Tensor, " l"]:
    """KL(q || p) = E_q[log q - log p], to be differentiated in the parameters of both."""
    base, parts = _ratios(subject, how, q, p)
    return base + torch.stack([_mean(mass, ratio) for mass, ratio in parts]).sum(0)


def spread(subject: Subject, how: Measure, p: Family) -> Float64[Tensor, " l"]:
    """The variance of log q - log p under q."""
    _, parts = _ratios(subject, how, subject.q, p)
    return torch.stack([_mean(mass, (ratio - _mean(mass, ratio)) ** 2) for mass, ratio in parts]).sum(0)


def _ratios(
    subject: Subject, how: Measure, q: Family, p: Family
) -> tuple[Float64[Tensor, " l"], list[tuple[Points, Points]]]:
    """Log q - log p as a number and a sum of independent parts; of each part, masses and values."""
    if isinstance(how, Joint):
        log_q, log_p = (clean(subject.log_density(law, how.nodes)) for law in (q, p))
        return torch.zeros_like(log_q[0]), [(how.weights * log_q.exp(), log_q - log_p)]
    base = subject.log_density(q, how.centre) - subject.log_density(p, how.centre)
    along = [[_profile(subject, how, law, i)[0] for law in (q, p)] for i in range(subject.dimensions)]
    shares = [one.masses for one in masses(subject, how, q)]
    return base, [(mass, of_q - of_p) for mass, (of_q, of_p) in zip(shares, along, strict=True)]


def _mean(mass: Points, value: Points) -> Float64[Tensor, " l"]:
    return torch.where(mass > 0, mass * value, 0.0).sum(0)


def _profile(subject: Subject, how: Lines, q: Family, i: int) -> tuple[Points, Float64[Tensor, " l"]]:
    """The log density along coordinate i, less that of the centre, and the logarithm of what its exp integrates to."""
    nodes, weights = how.rules[i]
    along = clean(subject.log_density(q, moved(how.centre, i, nodes))) - subject.log_density(q, how.centre)
    return along, torch.logsumexp(weights.log() + along, 0)


def _coordinate(subject: Subject, how: Lines, q: Family, i: int) -> Masses:
    along, total = _profile(subject, how, q, i)
    return Masses(how.rules[i].nodes, how.rules[i].weights * torch.exp(along - total))
