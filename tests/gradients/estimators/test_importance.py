"""Estimators of the K-sample bound: unbiased exactly (quadrature, enumeration), still at the exact posterior."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients import references
from tests.gradients.references import assert_same
from tests.gradients.test_wires import altered
from tests.models import toys
from tests.models.toys import bernoulli_vae, bits, learned_prior, linear_gaussian, normals, parameters, small_vae
from vae_fn.gradients import elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import dreg, importance, iwae, single, sticking_the_landing, vimco, wake
from vae_fn.models import objectives

SEED = st.integers(0, 2**31)
BETA = st.sampled_from([1.0, 0.5])
ESTIMATORS = {"iwae": iwae(), "dreg": dreg(), "vimco": vimco()}


def check_unbiased(estimator, seed, samples, beta=1.0):
    """The mean over Gaussian noise, at two orders, is value and gradient of the bound as an integral over z."""
    vae = learned_prior(small_vae(3, 1, hidden=2), 1)
    params, x = parameters(vae, seed, 0.5), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    coarse, fine = (
        references.mean_estimate(estimator, problem, params, *references.gaussian_noise(samples, count=count))
        for count in (41, 49)
    )
    assert_same(fine[1], coarse[1], 1e-9)
    torch.testing.assert_close(fine[0], toys.bound_on_line(vae, params, x, samples, beta), rtol=1e-10, atol=0)
    assert_same(
        fine[1], references.gradient(lambda live: toys.bound_on_line(vae, live, x, samples, beta), params), 1e-9
    )


@pytest.mark.parametrize(("name", "samples"), [("iwae", 1), ("dreg", 1), ("iwae", 2), ("dreg", 2), ("vimco", 2)])
@settings(max_examples=6)
@given(seed=SEED, beta=BETA)
def test_unbiased_with_gaussian_latents(name, samples, seed, beta):
    check_unbiased(ESTIMATORS[name], seed, samples, beta)


MUTANTS = {
    "dreg: weights not squared (stl on iwae)": altered(importance.dreg_rule, path=lambda c, w, b: torch.ones_like(w)),
    "dreg: decoder squared too": altered(importance.dreg_rule, joint=lambda c, w, b: c.joint**2),
    "dreg: log q live": altered(importance.dreg_rule, density=lambda c, w, b: -b * c.joint),
    "iwae: mean of logs": altered(single.pathwise_rule),
    "iwae: 1/K missing in the value": altered(importance.iwae_rule, value=lambda c, w, b: c.value + math.log(len(w))),
    "iwae: log q held": altered(importance.iwae_rule, density=lambda c, w, b: 0 * w),
    "vimco: weights' sign": altered(importance.vimco_rule, density=lambda c, w, b: c.density + 2 * b * c.joint),
    "vimco: weights' part missing": altered(importance.vimco_rule, density=lambda c, w, b: c.density + b * c.joint),
    "vimco: z attached": altered(importance.vimco_rule, path=lambda c, w, b: torch.ones_like(w)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_biased_rules_are_rejected(mutant):
    with pytest.raises(AssertionError):
        check_unbiased(MUTANTS[mutant], 0, 2)


def test_dreg_without_beta_is_rejected():
    with pytest.raises(AssertionError):
        check_unbiased(altered(importance.dreg_rule, path=lambda c, w, b: c.joint), 0, 2, 0.5)


# --- discrete latents


def enumerated(estimator, seed, samples, latents, learned, beta):
    vae = bernoulli_vae(3, latents, learned)
    params, x = parameters(vae, seed), bits(seed, 3)
    noise = references.every_state(samples, latents)
    weights = vae.posterior(params, x, None).to_torch().log_prob(noise).sum(-1).exp()
    problem = elbo_sampled_problem(vae, x, beta=beta)

    def exact(live):
        return references.bound_by_enumeration(vae, live, x, samples, beta, references.log_mean)

    means = references.mean_estimate(estimator, problem, params, noise, weights)
    return *means, exact(params), references.gradient(exact, params)


def check_enumerated(estimator, *case):
    """The mean over all 2**(K d) states is value and gradient of the bound by enumeration."""
    value, grads, exact_value, exact_grads = enumerated(estimator, *case)
    torch.testing.assert_close(value, exact_value, rtol=1e-12, atol=0)
    assert_same(grads, exact_grads, 1e-11)


SHAPES = st.sampled_from([(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (5, 1)])


@given(seed=SEED, shape=SHAPES, learned=st.booleans(), beta=BETA)
def test_vimco_is_unbiased_with_discrete_latents(seed, shape, learned, beta):
    check_enumerated(vimco(), seed, *shape, learned, beta)


DISCRETE_MUTANTS = {
    "weights' sign": MUTANTS["vimco: weights' sign"],
    "weights' part missing": MUTANTS["vimco: weights' part missing"],
    "signal missing": altered(importance.vimco_rule, density=lambda c, w, b: -b * c.joint),
    "signal without the bound": altered(importance.vimco_rule, density=lambda c, w, b: c.density - c.value),
    "wake": altered(importance.wake_rule),
}


@pytest.mark.parametrize("mutant", DISCRETE_MUTANTS)
def test_biased_discrete_rules_are_rejected(mutant):
    with pytest.raises(AssertionError):
        check_enumerated(DISCRETE_MUTANTS[mutant], 0, 2, 2, True, 1.0)


@given(seed=SEED, shape=SHAPES)
def test_the_wake_phase_climbs_the_bound_with_decoder_and_prior(seed, shape):
    value, grads, exact_value, exact_grads = enumerated(wake(), seed, *shape, True, 1.0)
    torch.testing.assert_close(value, exact_value, rtol=1e-12, atol=0)
    parts = ("decoder", "prior")
    assert_same({part: grads[part] for part in parts}, {part: exact_grads[part] for part in parts}, 1e-11)


def test_the_wake_phase_gives_q_another_gradient():
    _, grads, _, exact = enumerated(wake(), 0, 2, 2, True, 1.0)
    with pytest.raises(AssertionError):
        assert_same({"encoder": grads["encoder"]}, {"encoder": exact["encoder"]}, 1e-2)


def test_leave_one_out_bounds_by_hand():
    log_w = normals(0, 4, 3)
    bounds = importance.leave_one_out_bound(log_w)
    for k in range(4):
        others = torch.cat([log_w[:k], log_w[k + 1 :]])
        expected = torch.log((others.exp().sum(0) + others.mean(0).exp()) / 4)
        torch.testing.assert_close(bounds[k], expected, rtol=1e-13, atol=1e-13)
    one = torch.func.jacrev(importance.leave_one_out_bound)(log_w[:, 0])
    assert torch.equal(one.diagonal(), torch.zeros(4, dtype=torch.float64))


# --- one draw


def check_still(estimator, seed, latents=2, samples=3):
    """Where q is the exact posterior, every draw's gradient of the encoder is zero to rounding."""
    exact = linear_gaussian(seed, latents + 1, latents, 3)
    noise = normals(seed, samples, 3, latents)
    problem = elbo_sampled_problem(exact.vae, exact.x)
    moving = iwae().estimate(problem, exact.params, noise, ()).grads["encoder"]
    scale = max(leaf.abs().max() for leaf in moving.values())
    assert scale > 1e-3
    for leaf in estimator.estimate(problem, exact.params, noise, ()).grads["encoder"].values():
        assert leaf.abs().max() < 1e-9 * scale


@given(seed=SEED, latents=st.integers(1, 4), samples=st.integers(1, 4))
def test_dreg_is_still_at_the_optimum(seed, latents, samples):
    check_still(dreg(), seed, latents, samples)


@pytest.mark.parametrize("estimator", [iwae(), vimco(), wake()], ids=lambda estimator: estimator.name)
def test_others_move_at_the_optimum(estimator):
    with pytest.raises(AssertionError):
        check_still(estimator, 0)


@given(seed=SEED, beta=BETA)
def test_dreg_of_one_sample_is_sticking_the_landing(seed, beta):
    vae = learned_prior(small_vae(3, 2), 2)
    problem, params = elbo_sampled_problem(vae, bits(seed, 4, 3), beta=beta), parameters(vae, seed)
    one, other = (
        estimator.estimate(problem, params, normals(seed, 1, 4, 2), ()).grads
        for estimator in (dreg(), sticking_the_landing())
    )
    assert_same(one, other, 1e-13)


@given(seed=SEED, samples=st.integers(2, 5), batch=st.sampled_from([(), (3,), (2, 2)]))
def test_values_are_the_objective(seed, samples, batch):
    vae = learned_prior(small_vae(3, 2), 2)
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    bound = objectives.iwae(vae, params, x, noise).objective
    for estimator in (*ESTIMATORS.values(), wake()):
        value = estimator.estimate(elbo_sampled_problem(vae, x), params, noise, ()).value
        torch.testing.assert_close(value, bound, rtol=1e-12, atol=1e-12)


# --- refusals


@pytest.mark.parametrize("estimator", [iwae(), dreg(), vimco(), wake()], ids=lambda estimator: estimator.name)
def test_an_exact_kl_has_no_k_sample_bound(estimator):
    vae = small_vae()
    problem, params = elbo_problem(vae, bits(0, 3)), parameters(vae, 0)
    for act in (
        lambda: estimator.init(problem, params),
        lambda: estimator.estimate(problem, params, normals(0, 2, 2), ()),
    ):
        with pytest.raises(ValueError, match="use elbo_sampled_problem"):
            act()


@pytest.mark.parametrize("beta", [0.5, 0.0, torch.tensor(1.0)])
def test_the_wake_phase_needs_importance_weights(beta):
    vae = small_vae()
    problem, params = elbo_sampled_problem(vae, bits(0, 3), beta=beta), parameters(vae, 0)
    for act in (lambda: wake().init(problem, params), lambda: wake().estimate(problem, params, normals(0, 2, 2), ())):
        with pytest.raises(ValueError, match="set beta to the number 1"):
            act()
