"""Relaxed and straight-through gradients: draw by draw as surrogates with detach, and how biased they are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.gradients import references
from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import given_classes, integrated, noise_of
from tests.gradients.references import assert_same
from tests.models.toys import bits, parameters
from vae_fn import tree
from vae_fn.distributions import Bernoulli, BottomUp
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import gumbel_rao, gumbel_softmax, straight_through, straight_through_gumbel
from vae_fn.gradients.estimators.straight_through import from_passed, passed
from vae_fn.gradients.oracles.nodes import Nodes, enumerate_states, product
from vae_fn.gradients.published import CategoricalCosts

SEED = st.integers(0, 2**31)
TAU = 0.6
BIASED = {
    "gumbel-softmax": gumbel_softmax(TAU),
    "straight-through": straight_through(),
    "st-gumbel": straight_through_gumbel(TAU),
    "gumbel-rao": gumbel_rao(TAU, 3),
}


def uniform_of(noise):
    return noise["value"] if isinstance(noise, dict) else noise


def log_mass(families, values):
    """Linear in the values, which need not be bits or classes."""
    total = 0
    for family, z in zip(families, values, strict=True):
        if isinstance(family, Bernoulli):
            total = total + (z * F.logsigmoid(family.logits) + (1 - z) * F.logsigmoid(-family.logits)).sum(-1)
        else:
            total = total + (z * F.log_softmax(family.logits, -1)).sum((-2, -1))
    return total


def soft_of(name, family, hard, noise, given):
    gumbel = torch.logit if isinstance(family, Bernoulli) else lambda noise: noise
    squash = torch.sigmoid if isinstance(family, Bernoulli) else lambda x: torch.softmax(x, -1)
    if name == "straight-through":
        return squash(family.logits)
    if name == "gumbel-rao":
        by = [(family.perturb_given(hard, each) - family.logits).detach() for each in given]
        return sum(squash((family.logits + g) / TAU) for g in by) / len(by)
    return squash((family.logits + gumbel(noise)) / TAU)


def surrogate(name, vae, params, x, noise, beta):
    """Each estimator's, written with detach."""
    q, p = vae.posterior(params, x, None), vae.prior(params, None)
    layered = isinstance(q, BottomUp)
    each = uniform_of(noise) if layered else (uniform_of(noise),)
    given = noise["given"] if isinstance(noise, dict) else ()
    families, values = [], []
    for i, e in enumerate(each):
        family = q.layer(i, values[-1] if values else None) if layered else q
        hard = family.sample(e)
        soft = soft_of(name, family, hard, e, [g[i] if layered else g for g in given])
        families.append(family)
        values.append(soft if name == "gumbel-softmax" else hard + (soft - soft.detach()))
    z = tuple(values) if layered else values[0]
    log_p = log_mass(p.layers(z) if layered else (p,), values)
    log_x = vae.likelihood(params, z, None).to_torch().log_prob(x)
    return (log_x + beta * (log_p - log_mass(families, values))).mean(0)


@pytest.mark.parametrize("model", discrete.VAES)
@pytest.mark.parametrize("name", BIASED)
@settings(max_examples=4)
@given(seed=SEED, samples=st.integers(1, 3), beta=st.sampled_from([1.0, 0.5]))
def test_gradients_are_those_of_surrogates(name, model, seed, samples, beta):
    check_surrogate(name, BIASED[name], model, seed, samples, beta)


def check_surrogate(name, estimator, model, seed, samples=2, beta=1.0):
    vae = discrete.VAES[model]
    params, x = parameters(vae, seed), bits(seed, 4, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    noise = noise_of(estimator, problem, params, samples, seed)
    found = estimator.estimate(problem, params, noise, ())
    value = surrogate("straight-through", vae, params, x, uniform_of(noise), beta)
    torch.testing.assert_close(found.value, value, rtol=1e-12, atol=1e-12)
    assert_same(found.grads, references.gradient(lambda live: surrogate(name, vae, live, x, noise, beta), params))


@pytest.mark.parametrize("model", discrete.VAES)
def test_another_temperature_is_rejected(model):
    with pytest.raises(AssertionError):
        check_surrogate("gumbel-softmax", gumbel_softmax(TAU + 0.01), model, 0)


@pytest.mark.parametrize("name", BIASED)
@pytest.mark.parametrize("model", discrete.VAES)
def test_evaluations_are_as_declared(name, model):
    vae, counted = discrete.VAES[model], []
    params, problem = parameters(vae, 0), elbo_sampled_problem(vae, bits(0, 4, 3))

    def f(params, z):
        counted.append(len(tree.leaves(z)[0]))
        return problem.f(params, z)

    noise = noise_of(BIASED[name], problem, params, 3, 0)
    BIASED[name].estimate(problem._replace(f=f), params, noise, ())
    assert sum(counted) == BIASED[name].evaluations(tree.shapes_of(problem.q, params), 3).forward


@pytest.mark.parametrize("make", [gumbel_softmax, straight_through_gumbel, gumbel_rao])
def test_a_temperature_is_positive(make):
    with pytest.raises(ValueError, match="it is above 0, not -1"):
        make(-1.0)


def test_gumbel_rao_needs_a_draw():
    with pytest.raises(ValueError, match="averages over 1 draw or more, not 0"):
        gumbel_rao(draws=0)


# --- bias


def posed(cost, classes=2, key=0):
    found = CategoricalCosts(cost, classes, key).make()
    return found.problem, found.params


def true_gradient(problem, params):
    """By enumeration of the classes."""
    states = torch.eye(params["q"]["logits"].shape[-1], dtype=torch.float64).unsqueeze(1)

    def value(params):
        return (torch.softmax(params["q"]["logits"], -1).squeeze(0) * problem.f(params, states)).sum()

    return torch.func.grad(value)(params)["q"]["logits"]


def mean_gradient(estimator, problem, params, nodes):
    return integrated(estimator, problem, params, nodes)[0]["q"]["logits"]


def bias(estimator, problem, params, nodes):
    exact = true_gradient(problem, params)
    return ((mean_gradient(estimator, problem, params, nodes) - exact).abs().max() / exact.abs().max()).item()


@given(key=st.integers(0, 100), classes=st.integers(2, 4))
def test_straight_through_is_unbiased_for_linear_costs_alone(key, classes):
    linear, quadratic = (posed(cost, classes, key) for cost in ("linear", "quadratic"))
    at = [enumerate_states(problem.q(params)) for problem, params in (linear, quadratic)]
    assert bias(straight_through(), *linear, at[0]) < 1e-11
    assert bias(straight_through(), *quadratic, at[1]) > 1e-3


def on_line(cost, params, hard):
    """The mean gradient in the logit of the first class with the relaxed, or hard, value on the logistic line."""
    gap = (params["q"]["logits"][0, 0] - params["q"]["logits"][0, 1]).item()
    u = product_line(gap)
    x, w = torch.logit(u[0]), u[1]
    soft = torch.sigmoid((gap + x) / TAU)
    at = (gap + x > 0).double() if hard else soft
    slope = torch.func.vmap(torch.func.grad(lambda y: cost(y)))(at)
    return (w * slope * soft * (1 - soft) / TAU).sum()


def product_line(gap):
    """Gauss-Legendre over (0, 1) on either side of the jump, ever finer towards the ends."""
    x, w = map(torch.from_numpy, np.polynomial.legendre.leggauss(20))
    jump = torch.sigmoid(torch.tensor(-gap, dtype=torch.float64)).reshape(1)
    edges = torch.cat([torch.zeros(1), discrete.EDGES, jump, 1 - discrete.EDGES, torch.ones(1)]).sort().values
    low, width = edges[:-1, None], edges.diff()[:, None]
    return (low + width * (1 + x) / 2).flatten(), (width * w / 2).flatten()


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize(("name", "hard"), [("gumbel-softmax", False), ("st-gumbel", True)])
def test_means_of_relaxed_gradients_by_quadrature(name, hard, power):
    problem, params = posed(["linear", "quadratic", "cubic"][power - 1])
    seen = mean_gradient(BIASED[name], problem, params, given_classes(problem, params, 24))
    expected = on_line(lambda y: (0.5 * y + 1.0 * (1 - y)) ** power, params, hard)
    torch.testing.assert_close(seen, torch.stack([expected, -expected]).unsqueeze(0), rtol=1e-7, atol=1e-9)
    assert bias(BIASED[name], problem, params, given_classes(problem, params, 24)) > 1e-3


def through_noise():
    """Gumbel-Rao differentiated through the conditional noise: the form of the paper's text."""

    def z(live, held, noise):
        def smooth(index, family, held, b):
            return family.relax(family.perturb_given(b, noise["given"][0]), TAU)

        return passed(live, held, noise["value"], smooth)

    return from_passed("through", z, noise_like=lambda q, samples: {"value": q.noise_like((samples,))})


def rao_nodes(problem, params):
    """Every class, and given each of them Gumbel nodes."""
    q = problem.q(params)
    states, free = enumerate_states(q), product(q.noise_like((1,)), 24)
    count, draws = len(states.weights), len(free.weights)
    noise = {"value": states.noise.repeat_interleave(draws, 0), "given": (free.noise.repeat(count, 1, 1, 1),)}
    return Nodes(noise, (states.weights[:, None] * free.weights).flatten())


def check_rao(estimator):
    """One draw given the class has the law of straight-through Gumbel: its mean and its variance."""
    problem, params = posed("cubic")
    seen = integrated(estimator, problem, params, rao_nodes(problem, params))
    expected = integrated(BIASED["st-gumbel"], problem, params, given_classes(problem, params, 24))
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one["q"], other["q"], rtol=1e-7, atol=1e-9)


def test_gumbel_rao_has_the_mean_of_straight_through_gumbel():
    check_rao(gumbel_rao(TAU, 1))


def test_gumbel_rao_through_its_noise_is_rejected():
    with pytest.raises(AssertionError):
        check_rao(through_noise())
