"""Wrong measure-valued gradients and wrong antithetic pairs; some of them wrong in variance alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import random
from vae_fn.distributions import Bernoulli, Normal
from vae_fn.gradients import Estimator, Problem, pull
from vae_fn.gradients.estimator import stateless
from vae_fn.gradients.estimators import antithetic, measure_valued, pathwise
from vae_fn.gradients.estimators.measure_valued import DECOMPOSITIONS, Decomposition, by_differences, normal_slopes
from vae_fn.gradients.estimators.single import pathwise_rule
from vae_fn.gradients.oracles.nodes import product
from vae_fn.gradients.wires import Pulled
from vae_fn.random import Noise
from vae_fn.types import Params, Tree
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.estimators.unbiased import integrated
from vae_fn.verify.integrals import exact, exact_variance
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.problems import bernoulli_latents, linear_gaussian
from vae_fn.verify.verdict import Verdict

BITS = Setting(bernoulli_latents(2, beta=0.7), 1)
PAIR = Setting(linear_gaussian(1), 2)
LOC, SCALE, TARGET = 0.4, 1.4, 2.0


def _number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


PARAMS = {"q": {"loc": _number(LOC), "scale": _number(SCALE)}}
A = LOC - TARGET
"""The quadratic cost (z - t)**2 has the gradients 2 a in loc and 2 s in scale, a = loc - t."""


def _cost(cost: Callable[[Tensor], Tensor]) -> Problem:
    return Problem(
        q=lambda params: Normal(params["q"]["loc"], params["q"]["scale"]), f=lambda params, z: cost(z).sum(-1)
    )


QUADRATIC, LINEAR = _cost(lambda z: (z - TARGET) ** 2), _cost(lambda z: 1.3 * z)


def _draws(estimator: Estimator, problem: Problem, name: str) -> Callable[[Tree], Tensor]:
    return lambda noise: estimator.estimate(problem, PARAMS, noise, ()).grads["q"][name]


def _nodes(estimator: Estimator, samples: int = 1):
    """Six nodes a dimension, exact for the squares of quadratic costs; none of them is 0."""
    return product(estimator.noise_like(QUADRATIC, PARAMS, samples), 6)


def _mean(estimator: Estimator, name: str) -> Verdict:
    expected = {"loc": 2 * A, "scale": 2 * SCALE}[name]
    return exact(_draws(estimator, QUADRATIC, name), expected, _nodes(estimator), name=estimator.name)


def _variance_in_scale(estimator: Estimator) -> Verdict:
    """4 (a**2 + s**2), with N = M U (Mohamed et al. 2020)."""
    expected = 4 * (A**2 + SCALE**2)
    return exact_variance(_draws(estimator, QUADRATIC, "scale"), expected, _nodes(estimator), name=estimator.name)


# --- differences


def _normals(change: Callable[[Tree], Tree], **parts) -> Estimator:
    """Measure-valued with its noise changed before the slopes are taken, and other parts of the decomposition."""
    right = DECOMPOSITIONS[Normal]
    wrong = right._replace(slopes=lambda f, q, noise, value: normal_slopes(f, q, change(noise), value))
    return by_differences("measure-valued", {Normal: wrong._replace(**parts)})


def _apart(noise: Tree) -> Tree:
    """M is drawn anew, and the sample's N stays: U is what makes it so."""
    own = noise["maxwell"] * noise["uniform"]
    return noise | {"maxwell": noise["other"], "uniform": own / noise["other"]}


def _with_another(q: Normal, samples: int) -> Tree:
    specs = DECOMPOSITIONS[Normal].noise_like(q, samples)
    return specs | {"other": Noise(random.maxwell, specs["maxwell"].shape)}


def _one_sided(noise: Tree) -> Tree:
    maxwell = noise["maxwell"]
    return noise | {"maxwell": maxwell.abs(), "uniform": noise["uniform"] * maxwell.sign()}


UNCOUPLED = _normals(_apart, noise_like=_with_another)
UNSCALED = _normals(
    lambda noise: noise, slopes=lambda f, q, n, v: tuple(s * q.scale for s in normal_slopes(f, q, n, v))
)


def _bits(**parts) -> Estimator:
    wrong: Decomposition = DECOMPOSITIONS[Bernoulli]._replace(**parts)
    return by_differences("measure-valued", {Bernoulli: wrong})


def _all_at_once(objective: Callable, q: Bernoulli, noise: Tree, value: Tensor) -> tuple[Tensor]:
    """Every bit flipped with the others."""
    bits = q.sample(noise)
    flipped = (1 - bits).unsqueeze(0)
    other = objective(flipped, q.log_prob(flipped)).movedim(0, -1)
    return ((2 * bits - 1) * (value.unsqueeze(-1) - other),)


def _of_bits(estimator: Estimator) -> Verdict:
    return integrated(BITS, estimator)(estimator)


# --- pairs


def _mirror_at_zero(problem: Problem, params: Params, noise: Tensor) -> Pulled:
    """Z and -z, where q has another centre."""
    q = problem.q(params)
    assert isinstance(q, Normal)
    return pull(problem, params, torch.cat([noise, -noise - 2 * q.loc / q.scale]), pathwise_rule)


AT_ZERO = stateless(
    "antithetic",
    _mirror_at_zero,
    unbiased_for="the ELBO",
    latents="continuous",
    noise_like=lambda q, samples: q.noise_like((samples // 2,)),
)
ONE_SIGN = stateless(
    "antithetic",
    lambda problem, params, noise: pull(problem, params, torch.cat([noise, noise]), pathwise_rule),
    unbiased_for="the ELBO",
    latents="continuous",
    noise_like=lambda q, samples: q.noise_like((samples // 2,)),
)


def _no_variance(estimator: Estimator) -> Verdict:
    """The gradient in scale of a linear cost is odd in the noise: a pair has none of it."""
    specs = estimator.noise_like(LINEAR, PARAMS, 2)
    return exact_variance(_draws(estimator, LINEAR, "scale"), 0.0, specs, order=6, name=estimator.name)


def _of_pairs(estimator: Estimator) -> Verdict:
    return integrated(PAIR, estimator)(estimator)


_measures, _pairs = measure_valued(), antithetic()

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "measure-valued: normal and Maxwell numbers drawn apart",
        "estimator",
        "a coupling is seen in the variance alone",
        wrong=lambda: _variance_in_scale(UNCOUPLED),
        right=lambda: _variance_in_scale(_measures),
        blind=lambda: _mean(UNCOUPLED, "scale"),
    ),
    Mutant(
        "measure-valued: Maxwell numbers of one sign",
        "estimator",
        "",
        wrong=lambda: _mean(_normals(_one_sided), "scale"),
        right=lambda: _mean(_measures, "scale"),
    ),
    Mutant(
        "measure-valued: not divided by the scale",
        "estimator",
        "",
        wrong=lambda: _mean(UNSCALED, "loc"),
        right=lambda: _mean(_measures, "loc"),
    ),
    Mutant(
        "measure-valued: all bits flipped at once",
        "estimator",
        "",
        wrong=lambda: _of_bits(_bits(slopes=_all_at_once)),
        right=lambda: _of_bits(_measures),
    ),
    Mutant(
        "measure-valued: derivative in p taken for that in the logit",
        "estimator",
        "",
        wrong=lambda: _of_bits(_bits(parameters=lambda q: (q.logits,))),
        right=lambda: _of_bits(_measures),
    ),
    Mutant(
        "antithetic: mirrored at 0",
        "estimator",
        "",
        wrong=lambda: _of_pairs(AT_ZERO),
        right=lambda: _of_pairs(_pairs),
    ),
    Mutant(
        "antithetic: pairs of one sign",
        "estimator",
        "",
        wrong=lambda: _no_variance(ONE_SIGN),
        right=lambda: _no_variance(_pairs),
        blind=lambda: _of_pairs(ONE_SIGN),
    ),
    Mutant(
        "antithetic: pairs of fresh draws",
        "estimator",
        "",
        wrong=lambda: _no_variance(pathwise()),
        right=lambda: _no_variance(_pairs),
        blind=lambda: _of_pairs(pathwise()),
    ),
)
