"""ARM and DisARM: their means by integration, exactly, and what they take and cost."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import exact_elbo, exact_gradient, integrated, pieces
from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, normals, parameters
from vae_fn import tree
from vae_fn.distributions import Normal
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import arm, disarm, pairs
from vae_fn.gradients.estimators.disarm import scores
from vae_fn.gradients.estimators.pairs import from_pairs

PAIRED = {"arm": arm(), "disarm": disarm()}
SEED = st.integers(0, 2**31)
BETA = st.sampled_from([1.0, 0.5])


def check_unbiased(estimator, vae, seed, beta, samples=1, order=1):
    """One node on each piece is exact: ARM is linear there, DisARM constant."""
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    mean, _ = integrated(estimator, problem, params, pieces(estimator, problem, params, samples, order))
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, beta), rtol=1e-11, atol=1e-12)
    assert_same(mean, exact_gradient(vae, params, x, beta), 1e-10)


@pytest.mark.parametrize("name", PAIRED)
@settings(max_examples=8)
@given(seed=SEED, beta=BETA, shape=st.sampled_from([(1, 1), (1, 2), (2, 1), (3, 1), (2, 2)]))
def test_unbiased_in_one_layer(name, seed, beta, shape):
    check_unbiased(PAIRED[name], bernoulli_vae(3, shape[0], True), seed, beta, shape[1])


@pytest.mark.parametrize("name", PAIRED)
@settings(max_examples=5)
@given(seed=SEED, beta=BETA, units=st.sampled_from([(1, 1), (2, 1), (1, 2), (1, 1, 1)]))
def test_unbiased_in_layers(name, seed, beta, units):
    check_unbiased(PAIRED[name], discrete.layered_vae(units), seed, beta)


@given(seed=SEED)
def test_unbiased_with_the_kl_in_closed_form(seed):
    vae = bernoulli_vae(3, 2, True)
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_problem(vae, x)
    mean, _ = integrated(disarm(), problem, params, pieces(disarm(), problem, params))
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, 1.0), rtol=1e-11, atol=1e-12)
    assert_same(mean, exact_gradient(vae, params, x, 1.0), 1e-10)


def without_scale(logits, uniform, apart):
    return 0.5 * apart


def other_sign(logits, uniform, apart):
    return -scores(logits, uniform, apart)


@pytest.mark.parametrize("wrong", [without_scale, other_sign])
def test_wrong_scores_are_rejected(wrong):
    with pytest.raises(AssertionError):
        check_unbiased(from_pairs("wrong", wrong), bernoulli_vae(3, 2, True), 0, 1.0)


def kept_above(monkeypatch):
    """Layers above a flipped one keep the value that they had."""

    def paths(q, noise):
        main, *flipped = right(q, noise)
        return [main, *((*main[:at], path[at], *main[at + 1 :]) for at, path in enumerate(flipped))]

    right = pairs._paths
    monkeypatch.setattr(pairs, "_paths", paths)


def test_layers_that_are_not_drawn_anew_are_rejected(monkeypatch):
    kept_above(monkeypatch)
    with pytest.raises(AssertionError):
        check_unbiased(disarm(), discrete.layered_vae((1, 1)), 0, 1.0)


# --- what they are made of


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("vae", ["one", "layers"])
def test_evaluations_are_as_declared(name, vae):
    estimator, model, counted = PAIRED[name], discrete.VAES[vae], []
    params = parameters(model, 0)
    problem = elbo_sampled_problem(model, bits(0, 4, 3))

    def f(params, z):
        counted.append(len(tree.leaves(z)[0]))
        return problem.f(params, z)

    noise = discrete.noise_of(estimator, problem, params, 3, 0)
    estimator.estimate(problem._replace(f=f), params, noise, ())
    assert sum(counted) == estimator.evaluations(tree.shapes_of(problem.q, params), 3).forward


@pytest.mark.parametrize("name", PAIRED)
def test_classes_are_refused(name):
    model = discrete.VAES["classes"]
    params, problem = parameters(model, 0), elbo_sampled_problem(model, bits(0, 3))
    with pytest.raises(ValueError, match=f"{name} does not know what to do with Categorical latents: it pairs bits"):
        PAIRED[name].noise_like(problem, params, 1)
    with pytest.raises(ValueError, match="use rloo or relax"):
        PAIRED[name].estimate(problem, params, {"value": torch.zeros(1, 1, 3), "anew": ((),)}, ())


@pytest.mark.parametrize("name", PAIRED)
def test_continuous_latents_are_refused(name):
    problem = Problem(q=lambda params: Normal(params["q"], params["q"]), f=discrete.bits_cost)
    with pytest.raises(ValueError, match="Normal"):
        PAIRED[name].noise_like(problem, {"q": normals(0, 2)}, 1)
