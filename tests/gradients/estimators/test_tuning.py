"""The control variate of REBAR and RELAX descends the variance of one draw: its gradient, exactly, and its descent."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import func

from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import fine, noise_of, shaken
from tests.models.toys import bits, parameters
from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, Categorical
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import rebar, relax
from vae_fn.gradients.estimators.relax import gradients
from vae_fn.gradients.oracles.moments import moments
from vae_fn.gradients.published import OneBernoulli
from vae_fn.optimization.optimizers import adam, sgd

SEED = st.integers(0, 2**31)
PLAIN = sgd(1.0)
"""Its step is the gradient itself."""

POSED = OneBernoulli(t=0.45, logit=-0.8).make()


def slope(estimator, problem, params, noise, state):
    """The gradient in the control variate, as what an estimator that descends plainly changes it by."""
    after = estimator.estimate(problem, params, noise, state).state
    return tree.map(torch.sub, state.control, after.control)


def draws_of(problem, params, noise, control, more=0.0):
    """The gradient in the logits of each draw, and the value that its score is multiplied by."""
    q = problem.q(params)
    z = q.sample(noise)
    f = problem.f(params, z)
    value = f if problem.p is None else f + problem.beta * (problem.p(params).log_prob(z) - q.log_prob(z))
    copies = q._replace(logits=q.logits.expand(len(value), *q.logits.shape))
    return gradients(problem, params, copies, z, noise, value + more, control)


def second_moment(problem, params, noise, control):
    """Their mean square, with no derivative in the control variate."""
    draws = draws_of(problem, params, noise, control)
    return (draws**2).flatten(draws.ndim - problem.q(params).event_ndim).sum(-1).mean()


def differences(fn, control, step=1e-5):
    """Central differences in every entry."""
    flat = [leaf.flatten() for leaf in tree.leaves(control)]
    sizes = [leaf.numel() for leaf in flat]
    at = torch.cat(flat)

    def rebuilt(vector):
        parts = iter(vector.split(sizes))
        return tree.map(lambda leaf: next(parts).reshape(leaf.shape), control)

    moved = torch.stack([at + sign * step * row for row in torch.eye(len(at), dtype=at.dtype) for sign in (1, -1)])
    values = torch.vmap(lambda vector: fn(rebuilt(vector)), chunk_size=64)(moved).reshape(-1, 2)
    return rebuilt((values[:, 0] - values[:, 1]) / (2 * step))


def assert_close(actual, expected, rtol):
    size = max(leaf.abs().max().item() for leaf in tree.leaves(expected))
    for one, other in zip(tree.leaves(actual), tree.leaves(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rtol * size)


def check_differences(found, problem, params, noise, state):
    expected = differences(lambda control: second_moment(problem, params, noise, control), state.control)
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize("make", [rebar, relax])
@pytest.mark.parametrize("model", ["one", "classes"])
@settings(max_examples=3)
@given(seed=SEED, eta=st.floats(0.3, 1.5), tau=st.floats(0.3, 1.5))
def test_it_is_the_derivative_at_every_draw(make, model, seed, eta, tau):
    vae, estimator = discrete.VAES[model], make(optimizer=PLAIN)
    params, problem = parameters(vae, seed), elbo_sampled_problem(vae, bits(seed, 2, 3))
    state = shaken(estimator.init(problem, params), seed, eta, tau)
    noise = noise_of(estimator, problem, params, 3, seed)
    check_differences(slope(estimator, problem, params, noise, state), problem, params, noise, state)


def cut_slope(problem, params, noise, control):
    """What .detach() makes of it: the control variate is held where it multiplies the score."""

    def at(control):
        perturbed = problem.q(params).perturb(noise)
        return control["scale"] * problem.f(params, torch.sigmoid(perturbed / control["log_temperature"].exp()))

    def variance(control):
        more = at(control) - at(tree.map(torch.Tensor.detach, control))
        return (draws_of(problem, params, noise, control, more) ** 2).sum(-1).mean()

    return func.grad(variance)(control)


def test_a_control_variate_held_in_part_is_rejected():
    estimator = rebar(optimizer=PLAIN)
    problem, params = POSED.problem, POSED.params
    state, noise = estimator.init(problem, params), noise_of(estimator, problem, params, 4, 0)
    right, cut = slope(estimator, problem, params, noise, state), cut_slope(problem, params, noise, state.control)
    check_differences(right, problem, params, noise, state)
    with pytest.raises(AssertionError):
        check_differences(cut, problem, params, noise, state)


def variance_at(estimator, control):
    """The exact variance of one draw on one bit."""
    state = estimator.init(POSED.problem, POSED.params)._replace(control=control)
    nodes = fine(estimator, POSED.problem, POSED.params)
    return discrete.integrated(estimator, POSED.problem, POSED.params, nodes, state)[1]["q"]["logits"].sum()


def check_mean_slope(slope_at, estimator, state):
    nodes = fine(estimator, POSED.problem, POSED.params)
    found = moments(slope_at, nodes).mean
    assert_close(found, differences(lambda control: variance_at(estimator, control), state.control), 1e-6)


@pytest.mark.parametrize("make", [rebar, relax])
def test_its_mean_is_the_derivative_of_the_exact_variance(make):
    estimator = make(optimizer=PLAIN)
    state = shaken(estimator.init(POSED.problem, POSED.params), 0, 0.8, 0.6)
    check_mean_slope(lambda noise: slope(estimator, POSED.problem, POSED.params, noise, state), estimator, state)


def test_the_mean_of_a_cut_slope_is_rejected():
    estimator = rebar(optimizer=PLAIN)
    state = shaken(estimator.init(POSED.problem, POSED.params), 0, 0.8, 0.6)
    with pytest.raises(AssertionError):
        check_mean_slope(lambda noise: cut_slope(POSED.problem, POSED.params, noise, state.control), estimator, state)


@pytest.mark.parametrize(("make", "share"), [(rebar, 0.75), (relax, 0.5)])
def test_the_variance_falls(make, share):
    estimator = make(optimizer=adam(0.02))
    state, problem, params = estimator.init(POSED.problem, POSED.params), POSED.problem, POSED.params
    first = variance_at(estimator, state.control)
    for step in range(200):
        state = estimator.estimate(problem, params, noise_of(estimator, problem, params, 32, step), state).state
    assert variance_at(estimator, state.control) < share * first


# --- far out in float32


EXTREMES = [-50.0, -20.0, -1.0, 0.0, 1e-6, 20.0, 50.0]
ENDS = torch.tensor([2.0**-24, 2.0**-23 + 2.0**-24, 0.25, 0.5 - 2.0**-24, 0.5 + 2.0**-24, 1 - 2.0**-24])


@pytest.mark.parametrize("logit", EXTREMES)
def test_finite_at_extreme_bits(logit):
    logits = torch.tensor([logit])
    problem, params = discrete.of_bits(logits)
    check_finite(relax(), problem, params, ENDS.unsqueeze(-1))


def check_classes(spread, family=Categorical):
    vae = discrete.categorical_vae(1, 3)
    params = tree.map(lambda leaf: leaf.float(), parameters(vae, 0))
    logits = spread * torch.tensor([[1.0, -1.0, 0.5]])
    problem = elbo_sampled_problem(vae, torch.ones(3))._replace(q=lambda params: family(logits))
    gumbels = -torch.log(-torch.log(torch.cartesian_prod(*[ENDS] * 3))).unsqueeze(1)
    check_finite(relax(), problem, params, gumbels)


@pytest.mark.parametrize("spread", [0.0, 20.0, 50.0])
def test_finite_at_extreme_classes(spread):
    check_classes(spread)


class Unguarded(Categorical):
    """Classes whose conditional noise is infinite where two perturbed logits are equal."""

    def noise_given(self, value, perturbed):
        largest = (perturbed * value).sum(-1, keepdim=True)
        below = torch.where(value > 0.5, 1.0, largest - perturbed)
        others = perturbed - torch.log(-torch.expm1(-below)) - self.logits
        return torch.where(value > 0.5, largest - torch.logsumexp(self.logits, -1, keepdim=True), others)


def test_infinite_conditional_noise_is_rejected():
    with pytest.raises(AssertionError):
        check_classes(0.0, Unguarded)


def check_finite(estimator, problem, params, noise):
    found = estimator.estimate(problem, params, noise, estimator.init(problem, params))
    for leaf in tree.leaves((found.value, found.grads, found.state)):
        assert leaf.isfinite().all()


@given(logit=st.floats(-8, 8), u=st.floats(1e-6, 1 - 1e-6))
def test_conditional_noise_is_inverted(logit, u):
    check_inverse(logit, u)


def check_inverse(logit, u, invert=Bernoulli.noise_given):
    q, noise = Bernoulli(torch.tensor([logit], dtype=torch.float64)), torch.tensor([u], dtype=torch.float64)
    for value in (torch.zeros(1).double(), torch.ones(1).double()):
        torch.testing.assert_close(invert(q, value, q.perturb_given(value, noise)), noise, rtol=1e-6, atol=1e-9)


def test_another_inverse_is_rejected():
    with pytest.raises(AssertionError):
        check_inverse(0.5, 0.3, lambda q, value, perturbed: torch.sigmoid(perturbed - q.logits))


@given(seed=SEED, scale=st.floats(0.1, 5))
def test_conditional_noise_of_classes_is_inverted(seed, scale):
    keys = random.split(random.key(seed), 2)
    q = discrete.categorical_vae(2, 3).posterior(parameters(discrete.categorical_vae(2, 3), seed), bits(seed, 3), None)
    q = q._replace(logits=scale * q.logits)
    noise = random.gumbel(keys[0], q.logits.shape, torch.float64)
    value = q.sample(random.gumbel(keys[1], q.logits.shape, torch.float64))
    perturbed = q.perturb_given(value, noise)
    assert torch.equal(perturbed.argmax(-1), value.argmax(-1))
    torch.testing.assert_close(q.noise_given(value, perturbed), noise, rtol=1e-6, atol=1e-6)
