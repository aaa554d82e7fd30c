"""Estimators of the ELBO: unbiased exactly (quadrature, enumeration), and still where q is the exact posterior."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients import references
from tests.gradients.references import assert_same
from tests.gradients.test_wires import altered, self_included
from tests.models import toys
from tests.models.toys import bernoulli_vae, bits, learned_prior, linear_gaussian, normals, parameters, small_vae
from vae_fn import tree
from vae_fn.gradients import elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import pathwise, rloo, single, sticking_the_landing
from vae_fn.models import objectives

SEED = st.integers(0, 2**31)
BETA = st.sampled_from([1.0, 0.5])
ESTIMATORS = {"pathwise": pathwise(), "stl": sticking_the_landing(), "rloo": rloo()}


def check_unbiased(estimator, seed, samples, beta):
    """The mean over Gaussian noise, at two orders, is value and gradient of the ELBO as an integral over z."""
    vae = learned_prior(small_vae(3, 1, hidden=2), 1)
    params, x = parameters(vae, seed, 0.5), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    coarse, fine = (
        references.mean_estimate(estimator, problem, params, *references.gaussian_noise(samples, count=count))
        for count in (33, 49)
    )
    assert_same(fine[1], coarse[1], 1e-9)
    torch.testing.assert_close(fine[0], toys.bound_on_line(vae, params, x, 1, beta), rtol=1e-11, atol=0)
    assert_same(fine[1], references.gradient(lambda live: toys.bound_on_line(vae, live, x, 1, beta), params), 1e-10)


@pytest.mark.parametrize(("name", "samples"), [("pathwise", 1), ("pathwise", 2), ("stl", 1), ("stl", 2), ("rloo", 2)])
@settings(max_examples=10)
@given(seed=SEED, beta=BETA)
def test_unbiased_with_gaussian_latents(name, samples, seed, beta):
    check_unbiased(ESTIMATORS[name], seed, samples, beta)


GAUSSIAN_MUTANTS = {
    "path missing": altered(single.pathwise_rule, path=lambda c, w, b: 0 * w),
    "z held": altered(single.sticking_the_landing_rule, path=lambda c, w, b: 0 * w),
    "summed over samples": altered(single.pathwise_rule, joint=lambda c, w, b: torch.ones_like(w)),
    "rloo: z left attached": altered(single.rloo_rule, path=lambda c, w, b: torch.ones_like(w)),
    "rloo: self-included baseline": altered(single.rloo_rule, density=self_included),
    "rloo: log q held": altered(single.rloo_rule, density=lambda c, w, b: 0 * w),
    "value: twice": altered(single.pathwise_rule, value=lambda c, w, b: 2 * c.value),
}


@pytest.mark.parametrize("mutant", GAUSSIAN_MUTANTS)
def test_biased_rules_are_rejected(mutant):
    with pytest.raises(AssertionError):
        check_unbiased(GAUSSIAN_MUTANTS[mutant], 0, 2, 0.5)


def test_a_wrong_beta_is_rejected():
    vae = learned_prior(small_vae(3, 1, hidden=2), 1)
    params, x = parameters(vae, 0, 0.5), bits(0, 3)
    problem = elbo_sampled_problem(vae, x, beta=1.01)
    _, grads = references.mean_estimate(pathwise(), problem, params, *references.gaussian_noise(1))
    exact = references.gradient(lambda live: toys.bound_on_line(vae, live, x, 1), params)
    with pytest.raises(AssertionError):
        assert_same(grads, exact, 1e-4)


# --- discrete latents


def check_enumerated(estimator, seed, samples, latents, learned, beta):
    """The mean over all 2**(K d) states is value and gradient of the ELBO by enumeration."""
    vae = bernoulli_vae(3, latents, learned)
    params, x = parameters(vae, seed), bits(seed, 3)
    noise = references.every_state(samples, latents)
    weights = vae.posterior(params, x, None).to_torch().log_prob(noise).sum(-1).exp()
    problem = elbo_sampled_problem(vae, x, beta=beta)
    value, grads = references.mean_estimate(estimator, problem, params, noise, weights)

    def exact(live):
        return references.bound_by_enumeration(vae, live, x, 1, beta, references.mean)

    torch.testing.assert_close(value, exact(params), rtol=1e-12, atol=0)
    assert_same(grads, references.gradient(exact, params), 1e-11)


@given(
    seed=SEED, shape=st.sampled_from([(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (5, 1)]), learned=st.booleans(), beta=BETA
)
def test_rloo_is_unbiased_with_discrete_latents(seed, shape, learned, beta):
    check_enumerated(rloo(), seed, *shape, learned, beta)


DISCRETE_MUTANTS = {
    "self-included baseline": altered(single.rloo_rule, density=self_included),
    "divided by K": altered(single.rloo_rule, density=lambda c, w, b: (w - w.mean(0)) / len(w)),
    "reward attached": altered(single.rloo_rule, joint=lambda c, w, b: w),
    "log q held": altered(single.rloo_rule, density=lambda c, w, b: 0 * w),
}


@pytest.mark.parametrize("mutant", DISCRETE_MUTANTS)
def test_biased_scores_are_rejected(mutant):
    with pytest.raises(AssertionError):
        check_enumerated(DISCRETE_MUTANTS[mutant], 0, 3, 2, True, 0.5)


# --- one draw


def check_still(estimator, seed, latents=2, samples=2):
    """Where q is the exact posterior, every draw's gradient of the encoder is zero to rounding."""
    exact = linear_gaussian(seed, latents + 1, latents, 3)
    noise = normals(seed, samples, 3, latents)
    problem = elbo_sampled_problem(exact.vae, exact.x)
    moving = pathwise().estimate(problem, exact.params, noise, ()).grads["encoder"]
    scale = max(leaf.abs().max() for leaf in moving.values())
    assert scale > 1e-3
    for leaf in estimator.estimate(problem, exact.params, noise, ()).grads["encoder"].values():
        assert leaf.abs().max() < 1e-9 * scale


@given(seed=SEED, latents=st.integers(1, 4), samples=st.integers(1, 3))
def test_sticking_the_landing_is_still_at_the_optimum(seed, latents, samples):
    check_still(sticking_the_landing(), seed, latents, samples)


@pytest.mark.parametrize("name", ["pathwise", "rloo"])
def test_others_move_at_the_optimum(name):
    with pytest.raises(AssertionError):
        check_still(ESTIMATORS[name], 0)


@given(seed=SEED, samples=st.integers(2, 4), beta=BETA, batch=st.sampled_from([(), (3,), (2, 2)]))
def test_values_are_the_objectives(seed, samples, beta, batch):
    vae = learned_prior(small_vae(3, 2), 2)
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    sampled = objectives.elbo_sampled(vae, params, x, noise, beta=beta).objective
    closed = objectives.elbo(vae, params, x, noise, beta=beta, free_bits=0.1).objective
    for estimator in ESTIMATORS.values():
        value = estimator.estimate(elbo_sampled_problem(vae, x, beta=beta), params, noise, ()).value
        torch.testing.assert_close(value, sampled, rtol=1e-12, atol=1e-12)
        value = estimator.estimate(elbo_problem(vae, x, beta=beta, free_bits=0.1), params, noise, ()).value
        torch.testing.assert_close(value, closed, rtol=1e-12, atol=1e-12)


@given(seed=SEED)
def test_two_samples_of_the_score_are_half_the_difference(seed):
    """(w_1 - w_2)(s_1 - s_2) / 2 without the decoder's part: the identity at K = 2."""
    vae = bernoulli_vae(3, 2, False)
    params, x, noise = parameters(vae, seed), bits(seed, 3), torch.special.ndtr(normals(seed, 2, 2))
    grads = rloo().estimate(elbo_sampled_problem(vae, x), params, noise, ()).grads["encoder"]
    model = references.Model(vae, params, x, 1.0)
    z = model.q.sample(noise)
    w = model.log_w(z)

    def surrogate(live):
        log_q = references.Model(vae, live, x, 1.0).log_q(z)
        return 0.5 * (w[0] - w[1]) * (log_q[0] - log_q[1]) - log_q.mean(0)

    expected = references.gradient(surrogate, params)["encoder"]
    assert_same({"encoder": grads}, {"encoder": expected}, 1e-10)


@given(seed=SEED)
def test_pathwise_and_landing_agree_where_the_kl_is_exact(seed):
    vae = small_vae(3, 2)
    problem, params = elbo_problem(vae, bits(seed, 4, 3)), parameters(vae, seed)
    one, other = (
        estimator.estimate(problem, params, normals(seed, 2, 4, 2), ()).grads
        for estimator in (pathwise(), sticking_the_landing())
    )
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(one), tree.leaves(other), strict=True))
