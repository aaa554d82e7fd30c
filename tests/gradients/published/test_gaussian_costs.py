"""Costs of a normal variable: means by three routes, and the variances of four estimators in closed form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from scipy import integrate, stats

from tests.gradients.published import laws
from tests.gradients.published.integration import assert_gradient_of, over_line
from tests.models.toys import normal_line
from vae_fn import verify
from vae_fn.errors import UserError
from vae_fn.gradients.estimators import pathwise
from vae_fn.gradients.published import GaussianCosts

FORMULAS = {
    "quadratic": lambda z, k: (z - k) ** 2,
    "exponential": lambda z, k: np.exp(-k * z**2),
    "cosine": lambda z, k: np.cos(k * z),
}
LOC, SCALE = st.floats(-2, 2), st.floats(0.3, 2)


@st.composite
def options(draw):
    cost = draw(st.sampled_from(sorted(FORMULAS)))
    low, high = {"quadratic": (-3, 3), "exponential": (0.1, 10), "cosine": (0.5, 5)}[cost]
    return GaussianCosts(cost, draw(st.floats(low, high)), draw(LOC), draw(SCALE))


def law(chosen: GaussianCosts):
    return lambda params: laws.value(chosen.cost, chosen.k, *(leaf.item() for leaf in params["q"].values()))


@given(options())
def test_mean_and_gradient_are_those_of_the_closed_form(chosen):
    posed = chosen.make()
    assert_gradient_of(over_line(posed.problem, 1201), law(chosen), posed.params)


@given(options())
def test_the_closed_form_is_the_integral(chosen):
    normal = stats.norm(chosen.loc, chosen.scale)
    low, high = normal.ppf([1e-16, 1 - 1e-16])
    integral, _ = integrate.quad(
        lambda z: FORMULAS[chosen.cost](z, chosen.k) * normal.pdf(z), low, high, epsabs=1e-11, epsrel=1e-11, limit=500
    )
    np.testing.assert_allclose(
        integral, laws.value(*(vars(chosen)[f] for f in ("cost", "k", "loc", "scale"))), atol=1e-9
    )


@pytest.mark.parametrize("wrong", [GaussianCosts(k=2.001), GaussianCosts("cosine"), GaussianCosts(k=-2.0)])
def test_another_cost_is_seen(wrong):
    posed = wrong.make()
    with pytest.raises(AssertionError):
        assert_gradient_of(over_line(posed.problem, 1201), law(GaussianCosts()), posed.params)


def test_a_variance_for_a_standard_deviation_is_seen():
    posed = GaussianCosts(scale=1.5).make()

    def mistaken(params):
        loc, scale = (leaf.item() for leaf in params["q"].values())
        return laws.value("quadratic", 2.0, loc, math.sqrt(scale))

    with pytest.raises(AssertionError):
        assert_gradient_of(over_line(posed.problem, 1201), mistaken, posed.params)


def moments_of(draws: torch.Tensor, weights: torch.Tensor) -> tuple[float, float]:
    mean = (weights * draws).sum()
    return mean.item(), ((weights * (draws - mean) ** 2).sum()).item()


def normal_draws(posed, k, a, s, kind):
    """One draw of each gradient at the nodes of the noise, from the problem's own f."""
    nodes, weights = normal_line(1, 1201)
    e = nodes.squeeze(-1)
    f = posed.problem.f(posed.params, k + a + s * nodes)
    scores = (e / s, (e**2 - 1) / s)
    if kind == "pathwise":
        return [2 * (a + s * e), 2 * (a + s * e) * e], weights
    if kind == "score":
        return [f * g for g in scores], weights
    return [(f - (weights * f * g**2).sum() / (weights * g**2).sum()) * g for g in scores], weights


def measure_valued_draws(posed, s, coupled=True):
    """The Rayleigh pair of loc, and the Maxwell pair of scale: coupled as N = M U, or N from noise of its own."""
    x, x_weights = (torch.from_numpy(part) for part in leggauss(160))
    loc = posed.params["q"]["loc"]

    def f(z):
        return posed.problem.f(posed.params, (loc + s * z.reshape(-1, 1))).reshape(z.shape)

    w, w_weights = 7 * (x + 1), 7 * x_weights
    by_loc = (f(w) - f(-w)) / (s * math.sqrt(2 * math.pi))
    m, maxwell = 10 * x, 10 * x_weights * (10 * x) ** 2 * torch.exp(-0.5 * (10 * x) ** 2) / math.sqrt(2 * math.pi)
    if coupled:
        other, other_weights = m.unsqueeze(-1) * 0.5 * (x + 1), 0.5 * x_weights
    else:
        other, other_weights = (10 * x).expand(len(m), -1), 10 * x_weights * torch.from_numpy(stats.norm.pdf(10 * x))
    by_scale = (f(m).unsqueeze(-1) - f(other)) / s
    return (by_loc, w_weights * w * torch.exp(-0.5 * w**2)), (by_scale, maxwell.unsqueeze(-1) * other_weights)


@given(k=st.integers(-3, 3), loc=LOC, scale=SCALE)
def test_variances_have_these_closed_forms(k, loc, scale):
    posed, a = GaussianCosts("quadratic", float(k), loc, scale).make(), loc - k
    expected, slopes = laws.quadratic_variances(a, scale), (2 * a, 2 * scale)
    found = {kind: normal_draws(posed, k, a, scale, kind) for kind in ("pathwise", "score", "optimal")}
    pairs = {kind: [(draws, weights) for draws in each] for kind, (each, weights) in found.items()}
    pairs["measure-valued"] = list(measure_valued_draws(posed, scale))
    for kind, (by_loc, by_scale) in pairs.items():
        for (draws, weights), slope, variance in zip((by_loc, by_scale), slopes, expected[kind], strict=True):
            np.testing.assert_allclose(moments_of(draws, weights), (slope, variance), rtol=1e-9, atol=1e-9)


def test_an_uncoupled_pair_has_another_variance_and_the_same_mean():
    posed = GaussianCosts("quadratic", 2.0).make()
    _, (draws, weights) = measure_valued_draws(posed, 1.0, coupled=False)
    mean, variance = moments_of(draws, weights)
    np.testing.assert_allclose(mean, 2.0, rtol=1e-9)
    assert variance > 1.5 * laws.quadratic_variances(-1.0, 1.0)["measure-valued"].scale


@pytest.mark.parametrize("k", [-3.0, 0.0, 1.0, 3.0])
def test_the_library_s_pathwise_gradient_has_the_variance_of_the_law(k):
    posed = GaussianCosts("quadratic", k).make()

    def grads(noise):
        return pathwise().estimate(posed.problem, posed.params, noise, ()).grads

    noise = pathwise().noise_like(posed.problem, posed.params, 1)
    variances = laws.quadratic_variances(1 - k, 1.0)["pathwise"]
    expected = {"q": {"loc": torch.tensor([variances.loc]), "scale": torch.tensor([variances.scale])}}
    verify.exact_variance(grads, expected, noise, name=posed.name).check()
    wrong = {"q": expected["q"] | {"scale": torch.tensor([variances.scale + 0.01])}}
    assert not verify.exact_variance(grads, wrong, noise, name=posed.name).passed


def test_impossible_options_are_refused():
    with pytest.raises(UserError, match="set scale above 0"):
        GaussianCosts(scale=0.0)
    with pytest.raises(UserError, match="k >= 0"):
        GaussianCosts("exponential", k=-1.0)
