"""Distributions that are wrong, each with the claim of `verify.distribution` that rejects it."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions import Bernoulli, Categorical, Family, Laplace, MultivariateNormal, Normal, kl, positive
from vae_fn.distributions.multivariate_normal import solve_lower
from vae_fn.distributions.normal import HALF_LOG_TWO_PI
from vae_fn.random import Noise
from vae_fn.verify.distributions.battery import distribution
from vae_fn.verify.distributions.scale_map import scale_map
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.report import Report
from vae_fn.verify.verdict import Verdict

LOC, SCALE = torch.tensor([0.7, -1.2]).double(), torch.tensor([0.3, 1.7]).double()
TRIL = torch.tensor([[0.6, 0.0], [0.9, 0.4]]).double()
NORMAL, PRIOR = Normal(LOC, SCALE), Normal(-SCALE, LOC.abs())
ROWS = Normal(torch.stack([LOC, -LOC]), torch.stack([SCALE, SCALE.flip(0)]))
LAPLACE, FULL = Laplace(LOC, SCALE), MultivariateNormal(LOC, TRIL)
BITS, CLASSES = Bernoulli(torch.tensor([0.4, -1.1]).double()), Categorical(torch.tensor([[0.3, -0.8, 1.1]]).double())
LIKELY_BITS, SURE_BITS = Bernoulli(torch.tensor([15.0]).double()), Bernoulli(torch.tensor([41.0]).double())


def altered(q: Family, **members: Any) -> Family:
    """The same parameters in a family of which some members are others."""
    return type(type(q).__name__, (type(q),), members)(*q)


def claim(report: Report, name: str) -> Verdict:
    """The verdict on one claim of a report."""
    return next(verdict for verdict in report.verdicts if verdict.claim == name)


@functools.cache
def _right(q: Family, p: Family | None = None) -> Report:
    """The report on a distribution of this module as it is."""
    return distribution(q, p=p)


def _of_family(what: str, rejected_by: str, q: Family, origin: str = "", **members: Any) -> Mutant:
    """A family with wrong members."""
    return Mutant(
        what,
        "distribution",
        origin,
        wrong=lambda: claim(distribution(altered(q, **members)), rejected_by),
        right=lambda: claim(_right(q), rejected_by),
    )


def _of_kl(what: str, rejected_by: str, wrong: Callable[[Any, Any], Tensor], origin: str = "") -> Mutant:
    """A wrong divergence between normals."""
    return Mutant(
        what,
        "divergence",
        origin,
        wrong=lambda: claim(distribution(NORMAL, p=PRIOR, closed_form=wrong), rejected_by),
        right=lambda: claim(_right(NORMAL, PRIOR), rejected_by),
    )


def _of_scale(what: str, wrong: Callable[[Tensor], Tensor], origin: str = "") -> Mutant:
    """A wrong map from raw numbers to scales."""
    return Mutant(what, "scale", origin, wrong=lambda: scale_map(wrong), right=lambda: scale_map(positive))


# --- densities


def _standard(q: Normal, residual: Tensor) -> Tensor:
    return (-0.5 * residual**2 - HALF_LOG_TWO_PI - q.scale.log()).sum(-1)


def _variance_for_scale(q: Normal, value: Tensor) -> Tensor:
    return Normal(q.loc, q.scale.sqrt()).log_prob(value)


def _one_log_scale(q: Normal, value: Tensor) -> Tensor:
    return q.log_prob_from_noise(q.noise_of(value), value) + q.scale.log().sum(-1) - q.scale.log().mean(-1)


def _without_log_det(q: MultivariateNormal, value: Tensor) -> Tensor:
    return -(0.5 * solve_lower(q.scale_tril, value - q.loc) ** 2 + HALF_LOG_TWO_PI).sum(-1)


def _by_probabilities(q: Bernoulli, value: Tensor) -> Tensor:
    p = torch.sigmoid(q.logits)
    return (value * p.log() + (1 - value) * (1 - p).clamp(min=1e-30).log()).sum(-1)


DENSITIES = (
    _of_family(
        "normal: 2 pi missing",
        "normalised",
        NORMAL,
        standard_log_prob=staticmethod(lambda residual: -0.5 * residual**2),
    ),
    _of_family("laplace: log 2 missing", "normalised", LAPLACE, standard_log_prob=staticmethod(lambda r: -r.abs())),
    _of_family("normal: the log scales averaged and not summed", "normalised", NORMAL, log_prob=_one_log_scale),
    _of_family("normal: variance for scale in log_prob", "law", NORMAL, log_prob=_variance_for_scale),
    _of_family("multivariate: log determinant missing", "normalised", FULL, log_prob=_without_log_det),
    _of_family("categorical: logits for log probabilities", "normalised", CLASSES,
               log_prob=lambda q, value: (value * q.logits).sum((-2, -1))),
    _of_family("bernoulli: clamped probabilities for logits", "to_torch", SURE_BITS, log_prob=_by_probabilities),
    _of_family("bernoulli: probabilities in float32", "noise form in float32", LIKELY_BITS,
               log_prob=_by_probabilities, log_prob_from_noise=lambda q, u, value: _by_probabilities(q, value)),
)  # fmt: skip


# --- samples


def _uniform_of_variance_one(key: Any, shape: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    return math.sqrt(12) * (random.uniform(key, shape, dtype) - 0.5)


def _one_log(key: Any, shape: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    return -torch.log(random.uniform(key, shape, dtype))


def _lowest(key: Any, shape: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    return -random.gumbel(key, shape, dtype)


def _drawn_from(law: Callable[..., Tensor]) -> Callable[..., Noise]:
    return lambda q, front=(): Noise(law, (*front, *q.mean.shape))


SAMPLES = (
    _of_family("normal: scale squared in sample", "law", NORMAL, sample=lambda q, e: q.loc + q.scale**2 * e),
    _of_family("normal: root of the scale in sample", "change of variables", NORMAL,
               sample=lambda q, e: q.loc + q.scale.sqrt() * e),
    _of_family("normal: uniform noise of equal variance", "law", NORMAL,
               noise_like=_drawn_from(_uniform_of_variance_one)),
    _of_family("normal: one noise for all coordinates", "law", NORMAL,
               sample=lambda q, e: q.loc + q.scale * e[..., :1]),
    _of_family("laplace: normal noise", "law", LAPLACE, law=staticmethod(random.normal)),
    _of_family("multivariate: factor transposed in sample", "law", FULL,
               sample=lambda q, e: MultivariateNormal(q.loc, q.scale_tril.mT).sample(e)),
    _of_family("multivariate: diagonal alone in sample", "change of variables", FULL,
               sample=lambda q, e: q.loc + q.scale_tril.diagonal(dim1=-2, dim2=-1) * e),
    _of_family("bernoulli: threshold flipped", "law", BITS,
               sample=lambda q, u: (u < torch.sigmoid(-q.logits)).to(u.dtype)),
    _of_family("categorical: Gumbel noise with one logarithm", "law", CLASSES, noise_like=_drawn_from(_one_log)),
    _of_family("categorical: Gumbel noise of the minimum", "law", CLASSES, noise_like=_drawn_from(_lowest)),
    _of_family("normal: noise_of without the location", "inverse", NORMAL, noise_of=lambda q, z: z / q.scale),
)  # fmt: skip


# --- log q from noise


def _live_noise(q: Normal, noise: Tensor, value: Tensor) -> Tensor:
    moved = (value - value.detach()) - (q.loc - q.loc.detach())
    return _standard(q, (moved + noise * q.scale.detach()) / q.scale)


def _wrong_sign(q: Normal, noise: Tensor, value: Tensor) -> Tensor:
    t = (value - q.loc) / q.scale
    return _standard(q, noise + t - t.detach())


def _held(q: Normal, noise: Tensor, value: Tensor) -> Tensor:
    return _standard(q, noise + 0 * value)


NOISE_FORMS = (
    _of_family("noise form: noise counted twice", "noise form", NORMAL, log_prob_from_noise=_live_noise),
    _of_family("noise form: no derivative by the location", "noise form", NORMAL, log_prob_from_noise=_held),
    _of_family("noise form: noise + t - sg(t)", "noise form at scale 1e-8", NORMAL, log_prob_from_noise=_wrong_sign),
    _of_family("noise form: recomputed from the value", "noise form at scale 1e-8", NORMAL,
               "pytorch: Normal.log_prob", log_prob_from_noise=lambda q, noise, value: q.log_prob(value)),
)  # fmt: skip


# --- divergences


def _kl(q: Normal, p: Normal, half: float = 0.5, one: float = 1.0) -> Tensor:
    second = (q.scale**2 + (q.loc - p.loc) ** 2) / p.scale**2
    return (half * (second - one) + p.scale.log() - q.scale.log()).sum(-1)


DIVERGENCES = (
    _of_kl("kl: negative", "kl", lambda q, p: -kl(q, p)),
    _of_kl("kl: twice", "kl", lambda q, p: 2 * kl(q, p)),
    _of_kl("kl: half of the squares forgotten", "kl", lambda q, p: _kl(q, p, half=1.0)),
    _of_kl("kl: the -1 dropped", "kl", lambda q, p: _kl(q, p, one=0.0)),
    _of_kl("kl: variance for scale", "kl", lambda q, p: kl(Normal(q.loc, q.scale**2), p)),
    _of_kl("kl: arguments exchanged", "kl", lambda q, p: kl(p, q)),
    _of_kl("kl: a scale held", "kl gradient", lambda q, p: kl(Normal(q.loc, q.scale.detach()), p)),
    _of_kl("kl: cancels near equality", "kl at equality", _kl),
)


# --- the rest of the contract


def _mixing_rows(q: Normal, value: Tensor) -> Tensor:
    density = q.log_prob_from_noise(q.noise_of(value), value)
    return density + (q.loc - q.loc.mean(0)).sum(-1) if q.loc.ndim > 1 else density


TWIN = torch.distributions

CONTRACT = (
    _of_family("normal: mean off", "mean", NORMAL, mean=property(lambda q: q.loc + 0.01 * q.scale)),
    _of_family("bernoulli: mode for mean", "sampled mean", BITS, mean=property(lambda q: (q.logits > 0).double())),
    _of_family("normal: variance for scale in to_torch", "to_torch", NORMAL,
               to_torch=lambda q: TWIN.Independent(TWIN.Normal(q.loc, q.scale**2), 1)),
    _of_family("normal: location off in to_torch", "mean of to_torch", NORMAL,
               to_torch=lambda q: TWIN.Independent(TWIN.Normal(q.loc + 1e-6, q.scale), 1)),
    _of_family("normal: log_prob of every coordinate", "shapes", NORMAL,
               log_prob=lambda q, z: TWIN.Normal(q.loc, q.scale).log_prob(z)),
    _of_family("normal: a density of the whole batch", "batches", ROWS, log_prob=_mixing_rows),
    _of_family("bernoulli: samples of another dtype", "shapes", BITS,
               sample=lambda q, u: (u > torch.sigmoid(-q.logits)).half()),
)  # fmt: skip

SCALES = (
    _of_scale("scale: exp for softplus", lambda raw: raw.exp() + 1e-8, "pyro #2766"),
    _of_scale("scale: floor of 1e-2", lambda raw: positive(raw, 1e-2)),
    _of_scale("scale: no floor", lambda raw: -F.logsigmoid(-raw)),
    _of_scale("scale: softplus with a switch at 20", lambda raw: F.softplus(raw) + 1e-8, "pytorch: F.softplus"),
)

MUTANTS: tuple[Mutant, ...] = (*DENSITIES, *SAMPLES, *NOISE_FORMS, *DIVERGENCES, *CONTRACT, *SCALES)
