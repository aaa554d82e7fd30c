"""Objectives against integrals and closed forms, in float64."""

import functools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models import toys
from tests.models.cases import BATCH, OBJECTIVES, POSTERIORS, SAMPLES, SEED, close, model
from tests.models.toys import bits, learned_prior, normals, parameters, small_vae
from vae_fn import tree
from vae_fn.models import objectives

# --- in mean


def mean_at(rule, objective, vae, params, x, latents, samples, **settings):
    """The exact mean over Gaussian noise: the nodes of a quadrature rule stand where the batch is."""
    nodes, weights = rule(dims=samples * latents)
    noise = nodes.reshape(-1, samples, latents).transpose(0, 1)
    return weights @ objective(vae, params, x.expand(len(nodes), -1), noise, **settings).objective


def check_equal_in_mean(closed, sampled, posterior, latents, samples, beta, seed):
    vae = learned_prior(small_vae(3, latents, posterior=POSTERIORS[posterior]), latents)
    setting = (vae, parameters(vae, seed), bits(seed, 3), latents, samples)
    rule = functools.partial(toys.normal_nodes, 6)
    close(mean_at(rule, closed, *setting, beta=beta), mean_at(rule, sampled, *setting, beta=beta), 1e-10)


@pytest.mark.parametrize("posterior", ["normal", "full"])
@given(
    latents=st.integers(1, 2), samples=st.integers(1, 2), beta=st.sampled_from([1.0, 0.5, torch.tensor(3.0)]), seed=SEED
)
def test_closed_and_sampled_kl_are_equal_in_mean(posterior, latents, samples, beta, seed):
    check_equal_in_mean(objectives.elbo, objectives.elbo_sampled, posterior, latents, samples, beta, seed)


def beta_twice(vae, params, x, noise, beta):
    return objectives.elbo_sampled(vae, params, x, noise, beta=beta * beta)


def summed_over_samples(vae, params, x, noise, beta):
    terms = objectives.elbo_sampled(vae, params, x, noise, beta=beta)
    return terms._replace(objective=terms.reconstruction - len(noise) * beta * terms.kl)


@pytest.mark.parametrize("mutant", [beta_twice, summed_over_samples])
def test_wrong_weights_of_the_kl_are_rejected(mutant):
    with pytest.raises(AssertionError):
        check_equal_in_mean(objectives.elbo, mutant, "normal", 1, 2, 0.9, 0)


def check_bounds(sampled, iwae, seed):
    """Values and order of the ELBO, the two-sample bound and log p(x), all by integrals over z on a line."""
    vae = learned_prior(small_vae(3, 1, hidden=2), 1)
    params, x = parameters(vae, seed, 0.5), bits(seed, 3)
    single = mean_at(toys.normal_line, sampled, vae, params, x, 1, 1)
    one, two = (mean_at(toys.normal_line, iwae, vae, params, x, 1, k) for k in (1, 2))
    evidence = toys.log_evidence_on_line(vae, params, x)
    close(single, toys.bound_on_line(vae, params, x, 1), 1e-10)
    close(one, single, 1e-13)
    close(two, toys.bound_on_line(vae, params, x, 2), 1e-10)
    assert one < two < evidence


@given(seed=SEED)
def test_bounds_rise_to_the_evidence(seed):
    check_bounds(objectives.elbo_sampled, objectives.iwae, seed)


def mean_of_logs(*args):
    return objectives.elbo_sampled(*args)


def no_log_k(vae, params, x, noise):
    terms = objectives.iwae(vae, params, x, noise)
    return terms._replace(objective=terms.objective + math.log(len(noise)))


@pytest.mark.parametrize("mutant", [mean_of_logs, no_log_k])
def test_wrong_bounds_are_rejected(mutant):
    with pytest.raises(AssertionError):
        check_bounds(objectives.elbo_sampled, mutant, 0)


@pytest.mark.parametrize("posterior", POSTERIORS)
@given(batch=BATCH, seed=SEED)
def test_one_sample_bound_is_the_sampled_elbo_bit_for_bit(posterior, batch, seed):
    vae = model(posterior)
    params = tree.map(torch.Tensor.float, parameters(vae, seed))
    args = (vae, params, bits(seed, *batch, 3).float(), normals(seed, 1, *batch, 2).float())
    assert torch.equal(objectives.iwae(*args).objective, objectives.elbo_sampled(*args).objective)


# --- at the exact posterior


def check_at_the_optimum(sampled, seed, latents=2, samples=3):
    """Every draw of log w is log p(x): no variance over the noise."""
    exact = toys.linear_gaussian(seed, data=latents + 1, latents=latents, batch=4)
    noise = 2 * normals(seed, samples, 4, latents)
    close(sampled(exact.vae, exact.params, exact.x, noise).objective, exact.log_evidence, 1e-9)


@pytest.mark.parametrize("name", ["elbo_sampled", "iwae"])
@given(seed=SEED, latents=st.integers(1, 4), samples=SAMPLES)
def test_no_variance_at_the_exact_posterior(name, seed, latents, samples):
    check_at_the_optimum(OBJECTIVES[name], seed, latents, samples)


@given(seed=SEED, latents=st.integers(1, 2))
def test_elbo_is_the_evidence_at_the_exact_posterior(seed, latents):
    exact = toys.linear_gaussian(seed, data=3, latents=latents, batch=1)
    rule = functools.partial(toys.normal_nodes, 3)
    mean = mean_at(rule, objectives.elbo, exact.vae, exact.params, exact.x[0], latents, 1)
    close(mean, exact.log_evidence[0], 1e-9)


@pytest.mark.parametrize(
    "mutant", [lambda *args: objectives.elbo_sampled(*args, beta=1.001), no_log_k, objectives.elbo]
)
def test_what_is_not_the_evidence_is_rejected(mutant):
    with pytest.raises(AssertionError):
        check_at_the_optimum(mutant, 0)
