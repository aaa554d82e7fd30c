"""Wrong ELBOs: KL terms, samples, scales and targets, each seen through the pathwise gradient of the problem.

The estimator is right; the problem that it is given is not the one whose gradient is known.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Normal, kl, positive
from vae_fn.gradients import Estimator, Problem
from vae_fn.gradients.estimator import Estimate
from vae_fn.gradients.estimators import pathwise, rloo
from vae_fn.gradients.oracles.moments import moments
from vae_fn.types import Key, Params, Tree
from vae_fn.verify.bounded import mean_bounded
from vae_fn.verify.estimators.settings import Setting, estimate_of
from vae_fn.verify.estimators.unbiased import integrated
from vae_fn.verify.integrals import exact
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.problems import AVERAGES, Known, bernoulli_decoder, linear_gaussian
from vae_fn.verify.verdict import Verdict

Change = Callable[[Problem], Problem]
CLOSED, SAMPLED = bernoulli_decoder(1, closed_kl=True), bernoulli_decoder(1)


def confused(change: Change) -> Estimator:
    """The pathwise estimator, given another problem than the one that it is asked about."""
    right = pathwise()

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        return right.estimate(change(problem), params, noise, state)

    return right._replace(estimate=estimate)


def _mutant(name: str, known: Known, change: Change, origin: str = "") -> Mutant:
    def check(estimator: Estimator) -> Verdict:
        return integrated(Setting(known, 2), pathwise())(estimator)

    return Mutant(name, "elbo", origin, lambda: check(confused(change)), lambda: check(pathwise()))


def _kl_becomes(wrong: Callable[[Normal, Normal], Tensor]) -> Change:
    """The closed-form KL(q || p) replaced."""

    def change(problem: Problem) -> Problem:
        return problem._replace(exact=lambda params, q: -wrong(q, _prior(params)))

    return change


def _sampled_from(wrong: Callable[[Normal], Normal]) -> Change:
    """Another q for the samples alone: the KL keeps the right one."""

    def change(problem: Problem) -> Problem:
        q, exact = cast(Any, problem.q), cast(Any, problem.exact)
        return problem._replace(q=lambda params: wrong(q(params)), exact=lambda params, _: exact(params, q(params)))

    return change


def _q_becomes(wrong: Callable[[Normal], Normal]) -> Change:
    """Another q everywhere."""
    return lambda problem: problem._replace(q=lambda params: wrong(cast(Any, problem.q(params))))


def _prior(params: Params) -> Normal:
    return Normal(params["prior"]["loc"], positive(params["prior"]["raw"]))


def _scaled(change: Callable[[Tensor], Tensor]) -> Callable[[Normal], Normal]:
    return lambda q: q._replace(scale=change(q.scale))


def _half_log_variance(q: Normal, p: Normal) -> Tensor:
    """The KL with log s where log s**2 is due: half of log(s_p / s_q) is lost."""
    return kl(q, p) - 0.5 * (p.scale.log() - q.scale.log()).sum(-1)


def _fixed_covariance(x: Tensor) -> Problem:
    """Normal data of unit variance around z, and q of covariance 2/3."""
    problem = linear_gaussian(1, scale=1.0).pose(x)
    return _q_becomes(_scaled(lambda scale: torch.full_like(scale, math.sqrt(2 / 3))))(problem)


FIXED = linear_gaussian(1, scale=1.0)._replace(name="covariance 2/3", pose=_fixed_covariance)

TERMS = (
    _mutant("kl: sign", CLOSED, _kl_becomes(lambda q, p: -kl(q, p))),
    _mutant("kl: twice", CLOSED, _kl_becomes(lambda q, p: 2 * kl(q, p))),
    _mutant("kl: a scale read as a variance", CLOSED, _kl_becomes(lambda q, p: kl(_scaled(torch.sqrt)(q), p))),
    _mutant("kl: log s for log s**2", CLOSED, _kl_becomes(_half_log_variance)),
    _mutant("kl: arguments swapped", CLOSED, _kl_becomes(lambda q, p: kl(p, q))),
    _mutant("kl: 1 % more", CLOSED, _kl_becomes(lambda q, p: 1.01 * kl(q, p))),
    _mutant("beta: 1.05", SAMPLED, lambda problem: problem._replace(beta=1.05)),
    _mutant("beta: 1.01", SAMPLED, lambda problem: problem._replace(beta=1.01)),
    _mutant("z = m + s**2 e", CLOSED, _sampled_from(_scaled(torch.square))),
    _mutant("z = m + sqrt(s) e", CLOSED, _sampled_from(_scaled(torch.sqrt))),
    _mutant("scale: exp for softplus", SAMPLED, _q_becomes(_scaled(torch.expm1))),
    _mutant("scale: a floor of 1e-2 for 1e-8", SAMPLED, _q_becomes(_scaled(lambda scale: scale + 1e-2))),
    _mutant(
        "scale: 2/3 where the covariance is 2/3",
        FIXED,
        _q_becomes(_scaled(torch.square)),
        origin="a re-implementation of the linear Gaussian model of Rainforth et al. 2018",
    ),
    _mutant("targets: swapped", SAMPLED, lambda problem: problem._replace(f=SAMPLED.pose(1 - SAMPLED.x).f)),
    _mutant("prior: held", SAMPLED, lambda problem: problem._replace(p=lambda params: _prior(SAMPLED.params))),
)


# --- the batch, and the noise of a sampler


def _over_batch(reduce: Callable[[Tensor], Tensor]) -> Verdict:
    """The gradient of a reduction over three data, each with its own noise, against the mean of the exact gradients."""
    data = torch.stack([SAMPLED.x, SAMPLED.x.roll(1), 1 - SAMPLED.x])
    each = [SAMPLED._replace(x=x).exact(1, AVERAGES["the ELBO"])["grads"] for x in data]
    problem = SAMPLED.pose(data)

    def gradient(noise: Tensor) -> Params:
        def objective(params: Params) -> Tensor:
            return reduce(pathwise().estimate(problem, params, noise, ()).value)

        return torch.func.grad(objective)(SAMPLED.params)

    noise = problem.q(SAMPLED.params).noise_like((1,))
    return exact(gradient, tree.scale(tree.add(*each), 1 / len(data)), noise, name="the mean over the batch")


def _with_noise(law: Callable[..., Tensor]) -> Verdict:
    """The bounded tier with draws of another law in the place of the normal's."""
    setting = Setting(linear_gaussian(1), 2)
    known, estimate = setting.known, estimate_of(rloo(), setting)
    specs = known.problem.q(known.params).noise_like((2,))

    def draw(key: Key, count: int) -> Tree:
        return torch.vmap(estimate)(law(key, (count, *specs.shape), torch.float64))

    expected, variance = known.exact(2, AVERAGES["the ELBO"]), moments(estimate, specs).variance
    return mean_bounded(draw, expected, variance, name="score", detect=0.06)


def _uniform(key: Key, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Uniform noise of variance 1."""
    return math.sqrt(12) * (random.uniform(key, shape, dtype) - 0.5)


SAMPLING = (
    Mutant(
        "sum over the batch for its mean", "elbo", "", lambda: _over_batch(torch.sum), lambda: _over_batch(torch.mean)
    ),
    Mutant(
        "noise: uniform, of the normal's variance",
        "elbo",
        "a sampler's fault, which no function of the noise shows",
        wrong=lambda: _with_noise(_uniform),
        right=lambda: _with_noise(random.normal),
    ),
)

MUTANTS = (*TERMS, *SAMPLING)
