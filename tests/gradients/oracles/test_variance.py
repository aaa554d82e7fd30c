"""Exact moments of estimators: against sums written out, scipy's integration, closed forms, and the exact gradient."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import torch

from vae_fn import tree
from vae_fn.distributions import Bernoulli, BottomUp, TopDown, conditional
from vae_fn.gradients import Problem
from vae_fn.gradients.estimators import arm, disarm, gumbel_softmax, iwae, pathwise, rebar, rloo, vimco
from vae_fn.gradients.estimators.catalogue import CATALOGUE
from vae_fn.gradients.estimators.reinforce import reinforce
from vae_fn.gradients.oracles import moments as module
from vae_fn.gradients.oracles.moments import moments
from vae_fn.gradients.oracles.nodes import enumerate_states, product
from vae_fn.gradients.oracles.variance import moments_of
from vae_fn.gradients.published import CategoricalCosts, GaussianCosts, OneBernoulli, ThreeBernoullis
from vae_fn.verify.problems import bernoulli_decoder, bernoulli_latents

TARGET, LOGIT = 0.45, -1.0
P = 1 / (1 + math.exp(-LOGIT))
BIT = OneBernoulli(t=TARGET, logit=LOGIT).make()


def of(estimator, posed, samples=1):
    state = estimator.init(posed.problem, posed.params)
    return moments_of(estimator, posed.problem, posed.params, samples, state)


def numbers(found):
    """Mean and variance of the gradient's first leaf, flat."""
    leaves = tree.leaves(found.mean["grads"]), tree.leaves(found.variance["grads"])
    return np.array([leaves[0][0].flatten().tolist(), leaves[1][0].flatten().tolist()])


def squared(b):
    return (b - TARGET) ** 2


def test_the_score_function_of_one_bit_by_hand():
    draws = {b: squared(b) * (b - P) for b in (0, 1)}
    mean = P * draws[1] + (1 - P) * draws[0]
    variance = P * draws[1] ** 2 + (1 - P) * draws[0] ** 2 - mean**2
    found = of(reinforce(), BIT)
    np.testing.assert_allclose(numbers(found)[:, 0], [mean, variance], rtol=1e-12)
    assert found.errors == (0.0, 0.0)
    assert found.nodes == 2


def test_rloo_of_two_samples_is_its_two_point_form():
    """(f(b) - f(b'))(b - b') / 2, which is 0 unless the bits differ."""
    mean = (1 - 2 * TARGET) * P * (1 - P)
    second = 2 * P * (1 - P) * ((1 - 2 * TARGET) / 2) ** 2
    np.testing.assert_allclose(numbers(of(rloo(), BIT, 2))[:, 0], [mean, second - mean**2], rtol=1e-11)


def test_pathwise_of_a_quadratic_cost_in_closed_form():
    """2 (m + s e - k) in the mean and 2 (m + s e - k) e in the standard deviation."""
    loc, scale, k, samples = 1.3, 0.7, 2.0, 2
    found = of(pathwise(), GaussianCosts("quadratic", k, loc, scale).make(), samples)
    grads = found.mean["grads"]["q"], found.variance["grads"]["q"]
    expected = {"loc": (2 * (loc - k), 4 * scale**2), "scale": (2 * scale, 4 * (loc - k) ** 2 + 8 * scale**2)}
    for name, (mean, variance) in expected.items():
        assert float(grads[0][name]) == pytest.approx(mean, rel=1e-12)
        assert float(grads[1][name]) == pytest.approx(variance / samples, rel=1e-11)


@pytest.mark.parametrize("make", [rebar, gumbel_softmax, arm, disarm])
def test_functions_of_one_uniform_number_by_scipy(make):
    estimator = make()
    state, specs = estimator.init(BIT.problem, BIT.params), estimator.noise_like(BIT.problem, BIT.params, 1)

    def gradient(u):
        noise = tree.map(lambda spec: torch.full(spec.shape, u, dtype=torch.float64), specs)
        return float(tree.leaves(estimator.estimate(BIT.problem, BIT.params, noise, state).grads)[0])

    points = {"points": (P, 1 - P), "epsabs": 1e-10, "epsrel": 1e-9, "limit": 200}
    mean = scipy.integrate.quad(gradient, 0, 1, **points)[0]
    second = scipy.integrate.quad(lambda u: gradient(u) ** 2, 0, 1, **points)[0]
    found = of(estimator, BIT)
    np.testing.assert_allclose(numbers(found)[:, 0], [mean, second - mean**2], rtol=0, atol=1e-8)
    assert max(found.errors) < 1e-9


def test_what_is_no_function_of_the_states_is_not_enumerated():
    """Gumbel-softmax takes the latents' noise; summing over states, one value of it each, is another number."""
    right, estimator = of(gumbel_softmax(), BIT), gumbel_softmax()

    def estimate(noise):
        return estimator.estimate(BIT.problem, BIT.params, noise, ()).grads

    wrong = moments(estimate, enumerate_states(BIT.problem.q(BIT.params), 1))
    assert right.nodes > 2
    assert abs(numbers(right)[1, 0] - float(tree.leaves(wrong.variance)[0])) > 1e-3


def test_without_the_jumps_the_integral_is_wrong():
    """Negative: the same uniform numbers, without the pieces."""
    estimator = disarm()

    def estimate(noise):
        return estimator.estimate(BIT.problem, BIT.params, noise, ()).grads

    rule = product(estimator.noise_like(BIT.problem, BIT.params, 1), 40)
    assert abs(float(tree.leaves(moments(estimate, rule).variance)[0]) - numbers(of(estimator, BIT))[1, 0]) > 1e-6


def layered_problem():
    """Bits of two layers, two and one, with a cost and a prior of both."""
    weight = torch.tensor([[0.7, -1.1]], dtype=torch.float64)
    up = conditional(lambda params, z: Bernoulli(z @ params["up"].T), Bernoulli(torch.zeros(1)))
    down = conditional(lambda params, z: Bernoulli(z * params["down"]), Bernoulli(torch.zeros(2)))
    params = {
        "q": {"first": torch.tensor([0.4, -0.9], dtype=torch.float64), "up": weight},
        "p": {"top": torch.tensor([0.3], dtype=torch.float64), "down": torch.tensor([1.2, 0.5], dtype=torch.float64)},
    }
    problem = Problem(
        q=lambda params: BottomUp(Bernoulli(params["q"]["first"]), params["q"], (up,)),
        f=lambda params, z: (z[0] * torch.tensor([1.0, -0.6]).to(z[0])).sum(-1) ** 2 + z[1].sum(-1) * z[0][..., 0],
        p=lambda params: TopDown(Bernoulli(params["p"]["top"]), params["p"], (down,)),
        beta=1.0,
    )
    return problem, params


def test_layers_are_enumerated_jointly():
    """The eight states one after the other, at noise chosen by hand."""
    problem, params = layered_problem()
    first, up = params["q"]["first"], params["q"]["up"]
    mean, second, estimator = 0.0, 0.0, reinforce()
    for bits in itertools.product((0.0, 1.0), repeat=3):
        z1, z2 = torch.tensor(bits[:2], dtype=torch.float64), torch.tensor(bits[2:], dtype=torch.float64)
        one = torch.sigmoid(first), torch.sigmoid(up @ z1)
        noise = tuple(
            torch.where(z > 0, 1 - p / 3, (1 - p) / 3).unsqueeze(0) for z, p in zip((z1, z2), one, strict=True)
        )
        mass = math.prod(torch.where(z > 0, p, 1 - p).prod().item() for z, p in zip((z1, z2), one, strict=True))
        grads = estimator.estimate(problem, params, noise, ()).grads["q"]["up"]
        mean, second = mean + mass * grads, second + mass * grads**2
    found = moments_of(estimator, problem, params, 1, ())
    torch.testing.assert_close(found.mean["grads"]["q"]["up"], mean, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found.variance["grads"]["q"]["up"], second - mean**2, rtol=1e-11, atol=1e-13)
    assert found.nodes == 8


def test_layered_estimators_agree_in_mean_and_not_in_variance():
    problem, params = layered_problem()
    one, other = moments_of(rloo(), problem, params, 2, ()), moments_of(disarm(), problem, params, 1, ())
    for a, b in zip(tree.leaves(one.mean), tree.leaves(other.mean), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    assert (one.variance["grads"]["q"]["first"] > 1.1 * other.variance["grads"]["q"]["first"]).all()


@pytest.mark.parametrize(("make", "samples"), [(pathwise, 1), (iwae, 2), (vimco, 2)])
def test_smooth_noise_against_a_far_finer_rule(make, samples):
    known, estimator = bernoulli_decoder(1), make()

    def estimate(noise):
        found = estimator.estimate(known.problem, known.params, noise, ())
        return {"value": found.value, "grads": found.grads}

    finer = moments(estimate, product(estimator.noise_like(known.problem, known.params, samples), 150 // samples))
    found = of(estimator, known, samples)
    error = max(found.errors)
    for pair in zip(tree.leaves(found[:2]), tree.leaves(finer[:2]), strict=True):
        torch.testing.assert_close(*pair, rtol=error + 1e-12, atol=error + 1e-12)


def test_an_estimator_without_noise_has_no_variance():
    estimator = CATALOGUE["enumeration"].make()
    found = of(estimator, bernoulli_latents(2))
    assert all(not leaf.any() for leaf in tree.leaves(found.variance))
    rlooed = of(rloo(), bernoulli_latents(2), 2)
    for a, b in zip(tree.leaves(found.mean), tree.leaves(rlooed.mean), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_moments_are_the_same_in_any_number_of_chunks(monkeypatch):
    whole = of(iwae(), bernoulli_decoder(1), 2)
    monkeypatch.setattr(module, "ENTRIES", 700)
    pieces = of(iwae(), bernoulli_decoder(1), 2)
    for pair in zip(tree.leaves(whole[:2]), tree.leaves(pieces[:2]), strict=True):
        torch.testing.assert_close(*pair, rtol=1e-12, atol=1e-14)


def test_refusals():
    known = bernoulli_decoder(2)
    batch = known._replace(x=known.x.expand(4, 3))
    with pytest.raises(ValueError, match=r"here is a batch \(4,\)"):
        of(pathwise(), batch)
    with pytest.raises(ValueError, match=r"8 dimensions of noise need 1679616 nodes, and the exact tier takes 65536"):
        of(iwae(), known, 4)
    with pytest.raises(ValueError, match=r"6 draws have 262144 states"):
        of(rloo(), ThreeBernoullis().make(), 6)
    with pytest.raises(ValueError, match=r"with 46656 nodes of noise its moments still change by \d\.\de-02"):
        of(rebar(), CategoricalCosts(classes=3).make())
    with pytest.raises(ValueError, match="needs at least 2"):
        of(rloo(), BIT, 1)


def test_a_variance_that_overflows_is_no_agreement():
    """The mean of what is 1e200 times as large is found, and its square is not."""
    right = pathwise()

    def estimate(*args):
        found = right.estimate(*args)
        return found._replace(grads=tree.scale(found.grads, 1e200))

    with pytest.raises(ValueError, match="its moments still change by nan"):
        of(right._replace(estimate=estimate), GaussianCosts("quadratic", 2.0, 1.3, 0.7).make())
