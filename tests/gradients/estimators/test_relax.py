"""REBAR and RELAX: unbiased for every control variate, tuned on their own variance, and exactly as variable."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients import references
from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import (
    exact_elbo,
    exact_gradient,
    fine,
    given_classes,
    integrated,
    noise_of,
    shaken,
)
from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, parameters
from vae_fn.distributions import Bernoulli, Categorical
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import rebar, relax
from vae_fn.gradients.oracles.nodes import product
from vae_fn.gradients.published import OneBernoulli

SEED = st.integers(0, 2**31)
ETA = st.floats(-1, 2)
TAU = st.floats(0.2, 2)


@pytest.mark.parametrize("estimator", [rebar(), relax()], ids=lambda e: e.name)
@settings(max_examples=10)
@given(seed=SEED, eta=ETA, tau=TAU, beta=st.sampled_from([1.0, 0.5]))
def test_unbiased_for_bits(estimator, seed, eta, tau, beta):
    check_bits(estimator, seed, eta, tau, beta)


def check_bits(estimator, seed, eta=1.0, tau=0.5, beta=1.0, change=lambda problem: problem):
    vae = bernoulli_vae(3, 1, True)
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    state = shaken(estimator.init(problem, params), seed, eta, tau)
    mean, _ = integrated(estimator, change(problem), params, fine(estimator, problem, params), state)
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, beta), rtol=1e-9, atol=1e-10)
    assert_same(mean, exact_gradient(vae, params, x, beta), 1e-8)


@settings(max_examples=5)
@given(seed=SEED, eta=ETA)
def test_unbiased_for_two_bits(seed, eta):
    vae = bernoulli_vae(3, 2, True)
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x)
    state = shaken(relax().init(problem, params), seed, eta, 0.5)
    mean, _ = integrated(relax(), problem, params, discrete.pieces(relax(), problem, params, order=40), state)
    mean.pop("value")
    assert_same(mean, exact_gradient(vae, params, x, 1.0), 1e-7)


@pytest.mark.parametrize("estimator", [rebar(), relax()], ids=lambda e: e.name)
@settings(max_examples=3)
@given(seed=SEED, eta=ETA, tau=st.floats(0.4, 2))
def test_unbiased_for_classes(estimator, seed, eta, tau):
    check_classes(estimator, seed, eta, tau)


def check_classes(estimator, seed, eta=1.0, tau=0.5, change=lambda problem: problem):
    vae = discrete.categorical_vae(1, 2)
    params, x = parameters(vae, seed, 1.0), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x)
    state = shaken(estimator.init(problem, params), seed, eta, tau)
    mean, _ = integrated(estimator, change(problem), params, given_classes(problem, params, 24), state)
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, 1.0), rtol=1e-9, atol=1e-10)
    assert_same(mean, exact_gradient(vae, params, x, 1.0), 1e-7)


# --- wrong versions


class Held(Bernoulli):
    """Bits whose perturbed logits, drawn anew, forget that they depend on the logits."""

    def perturb_given(self, value, noise):
        return Bernoulli(self.logits.detach()).perturb_given(value, noise)


class HeldClasses(Categorical):
    """The same of classes."""

    def perturb_given(self, value, noise):
        return Categorical(self.logits.detach()).perturb_given(value, noise)


class OtherEnd(Bernoulli):
    """Bits drawn from the other end of the noise than their relaxation."""

    def sample(self, noise):
        return (noise < torch.sigmoid(self.logits)).to(self.logits.dtype)

    def noise_given(self, value, perturbed):
        u, p = torch.sigmoid(perturbed - self.logits), torch.sigmoid(self.logits)
        return torch.where(value > 0.5, u / p, (u - p) / (1 - p))


def under(family):
    return lambda problem: problem._replace(q=lambda params: family(problem.q(params).logits))


def test_conditional_noise_that_is_held_is_rejected():
    with pytest.raises(AssertionError):
        check_bits(rebar(), 0, change=under(Held))
    with pytest.raises(AssertionError):
        check_classes(rebar(), 0, change=under(HeldClasses))


# --- variances


QUADRATURE = {math.log(0.1 / 0.9): 0.010608158511, -0.8: 0.022701820037}
"""By scipy's quad, of the formula written out for one bit: t = 0.45, temperature 0.5, eta 1, common random numbers."""


@pytest.mark.parametrize("logit", QUADRATURE)
@pytest.mark.parametrize("estimator", [rebar(), relax()], ids=lambda e: e.name)
def test_variances_by_quadrature(estimator, logit):
    check_variance(estimator, logit)


def check_variance(estimator, logit, change=lambda problem: problem):
    posed = OneBernoulli(t=0.45, logit=logit).make()
    nodes, state = fine(estimator, posed.problem, posed.params), estimator.init(posed.problem, posed.params)
    cuts = torch.sigmoid(torch.tensor([[[logit, -logit]]], dtype=torch.float64))
    nodes = product(estimator.noise_like(posed.problem, posed.params, 1), 40, cuts)
    mean, variance = integrated(estimator, change(posed.problem), posed.params, nodes, state)
    p = 1 / (1 + math.exp(-logit))
    assert mean["q"]["logits"].item() == pytest.approx(p * (1 - p) * 0.1, rel=1e-10)
    assert variance["q"]["logits"].item() == pytest.approx(QUADRATURE[logit], rel=0, abs=1e-11)


def test_bits_from_the_other_end_are_rejected():
    """z~ is then not z in value, and one evaluation of the control variate does not do for both."""
    with pytest.raises(AssertionError):
        check_bits(rebar(), 0, change=under(OtherEnd))


# --- one draw


@given(seed=SEED, samples=st.integers(1, 3), beta=st.sampled_from([1.0, 0.5]))
@pytest.mark.parametrize("model", ["one", "classes"])
def test_without_a_control_variate_it_is_the_score_function(model, seed, samples, beta):
    vae = discrete.VAES[model]
    params, x = parameters(vae, seed), bits(seed, 4, 3)
    problem, estimator = elbo_sampled_problem(vae, x, beta=beta), relax(scale=0.0)
    noise = noise_of(estimator, problem, params, samples, seed)
    found = estimator.estimate(problem, params, noise, estimator.init(problem, params))

    def surrogate(live):
        model = references.Model(vae, live, x, beta)
        z = model.q.sample(noise)
        return (model.log_joint(z) + model.log_w(z).detach() * model.log_q(z)).mean(0)

    assert_same(found.grads, references.gradient(surrogate, params), 1e-10)


@pytest.mark.parametrize("estimator", [rebar(), relax()], ids=lambda e: e.name)
def test_layers_are_refused(estimator):
    vae = discrete.layered_vae()
    problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
    with pytest.raises(ValueError, match="takes one layer of latents, and BottomUp has several: use disarm or rloo"):
        estimator.init(problem, params)
    with pytest.raises(ValueError, match="use disarm or rloo"):
        estimator.noise_like(problem, params, 1)


@pytest.mark.parametrize("make", [rebar, relax])
def test_a_temperature_is_positive(make):
    with pytest.raises(ValueError, match="the temperature divides perturbed logits: it is above 0, not 0"):
        make(temperature=0.0)
