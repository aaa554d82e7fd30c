"""Variances of one draw on the costs of Mohamed et al. (2020): closed forms, and integrals over z by hand."""

import math

import pytest
import torch

from tests.gradients.published import laws
from vae_fn import tree, verify
from vae_fn.gradients.estimators import measure_valued, pathwise, reinforce, reinforce_optimal
from vae_fn.gradients.estimators.reinforce import SecondMoments
from vae_fn.gradients.oracles.moments import moments
from vae_fn.gradients.published import GaussianCosts

E = torch.linspace(-14, 14, 28001, dtype=torch.float64)
WEIGHTS = torch.exp(-(E**2) / 2) / math.sqrt(2 * math.pi) * (28 / 28000)
"""The trapezoid rule for a standard normal."""

COSTS = {
    "quadratic": (lambda z, k: (z - k) ** 2, lambda z, k: 2 * (z - k)),
    "exponential": (lambda z, k: torch.exp(-k * z**2), lambda z, k: -2 * k * z * torch.exp(-k * z**2)),
    "cosine": (lambda z, k: torch.cos(k * z), lambda z, k: -k * torch.sin(k * z)),
}
"""Each cost and its derivative."""

CHOSEN = [
    ("quadratic", -3.0),
    ("quadratic", 2.0),
    ("exponential", 0.1),
    ("exponential", 1.0),
    ("cosine", 0.5),
    ("cosine", 3.0),
]


def mean(values):
    return (WEIGHTS * values).sum()


def drawn(kind, cost, k, loc, scale):
    """One draw's gradients in loc and scale at each node."""
    f, slope = (part(loc + scale * E, k) for part in COSTS[cost])
    scores = (E / scale, (E**2 - 1) / scale)
    if kind == "pathwise":
        return slope, slope * E
    if kind == "reinforce":
        return tuple(f * s for s in scores)
    return tuple((f - mean(f * s**2) / mean(s**2)) * s for s in scores)


def optimal(cost, k, loc, scale):
    """The state of the best baselines."""
    f = COSTS[cost][0](loc + scale * E, k)
    scores = {"loc": E / scale, "scale": (E**2 - 1) / scale}

    def fill(state, weight):
        return (state[0]._replace(**{name: mean(weight * s**2)[None] for name, s in scores.items()}),)

    return lambda state: SecondMoments(fill(state.squares, 1.0), fill(state.weighted, f))


def found(estimator, posed, change=lambda state: state):
    state = change(estimator.init(posed.problem, posed.params))
    specs = estimator.noise_like(posed.problem, posed.params, 1)
    return (lambda noise: estimator.estimate(posed.problem, posed.params, noise, state).grads["q"]), specs


@pytest.mark.parametrize(("cost", "k"), CHOSEN)
@pytest.mark.parametrize(("loc", "scale"), [(1.0, 1.0), (0.4, 0.6)])
def test_variances_are_the_integrals(cost, k, loc, scale):
    posed = GaussianCosts(cost, k, loc, scale).make()
    for kind, estimator, change in (
        ("pathwise", pathwise(), lambda state: state),
        ("reinforce", reinforce(), lambda state: state),
        ("optimal", reinforce_optimal(), optimal(cost, k, loc, scale)),
    ):
        draws = drawn(kind, cost, k, loc, scale)
        expected = dict(zip(("loc", "scale"), ((mean(g**2) - mean(g) ** 2)[None] for g in draws), strict=True))
        fn, specs = found(estimator, posed, change)
        verify.exact_variance(fn, expected, specs, name=f"{kind}, {posed.name}").check()


@pytest.mark.parametrize("k", [-3.0, 1.0, 3.0])
def test_the_laws_of_the_quadratic_cost(k):
    posed, expected = GaussianCosts("quadratic", k).make(), laws.quadratic_variances(1 - k, 1.0)
    for kind, estimator, change in (
        ("pathwise", pathwise(), lambda state: state),
        ("score", reinforce(), lambda state: state),
        ("optimal", reinforce_optimal(), optimal("quadratic", k, 1.0, 1.0)),
        ("measure-valued", measure_valued(), lambda state: state),
    ):
        fn, specs = found(estimator, posed, change)
        variance = moments(fn, specs, order=8).variance
        for name in ("loc", "scale"):
            assert variance[name].item() == pytest.approx(getattr(expected[kind], name), rel=1e-9, abs=1e-9)


def test_which_is_best_depends_on_the_cost():
    """Where a cosine turns fast, pathwise loses to scores; where it is slow, it wins."""

    def in_loc(estimator, k):
        fn, specs = found(estimator, GaussianCosts("cosine", k).make())
        return moments(fn, specs).variance["loc"].item()

    assert in_loc(pathwise(), 0.5) < in_loc(reinforce(), 0.5)
    assert in_loc(pathwise(), 5.0) > 10 * in_loc(reinforce(), 5.0)


def test_another_state_is_seen():
    posed = GaussianCosts("quadratic", 2.0).make()
    best = optimal("quadratic", 2.0, 1.0, 1.0)

    def wrong(state):
        return best(state)._replace(weighted=tree.scale(best(state).weighted, 1.01))

    fn, specs = found(reinforce_optimal(), posed, wrong)
    law = laws.quadratic_variances(-1.0, 1.0)["optimal"]
    expected = {name: torch.tensor([getattr(law, name)], dtype=torch.float64) for name in ("loc", "scale")}
    assert verify.exact_variance(fn, expected, specs).status == "biased"
