"""Objectives against torch.distributions: formulas, terms and free bits, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, kl_divergence
from torch.distributions import Normal as TorchNormal

from tests.models.cases import BATCH, OBJECTIVES, POSTERIORS, SAMPLES, SEED, close, model
from tests.models.toys import bits, constants, normals, parameters
from vae_fn.distributions import Logistic, NoClosedFormError, kl_by_dimension
from vae_fn.models import objectives
from vae_fn.models.objectives import Terms

# --- formulas


def torch_prior(vae, params):
    loc, scale = vae.prior(params, None)
    return MultivariateNormal(loc, scale_tril=torch.diag(scale))


@pytest.mark.parametrize("posterior", POSTERIORS)
@given(batch=BATCH, samples=SAMPLES, beta=st.sampled_from([1.0, 0.3, 4.0]), seed=SEED)
def test_formulas(posterior, batch, samples, beta, seed):
    vae = model(posterior)
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    q = vae.posterior(params, x, None)
    z, prior = q.sample(noise), torch_prior(vae, params)
    log_likelihood = vae.likelihood(params, z, None).to_torch().log_prob(x)
    log_ratio = q.to_torch().log_prob(z) - prior.log_prob(z)
    sampled = objectives.elbo_sampled(vae, params, x, noise, beta=beta)
    close(sampled.objective, (log_likelihood - beta * log_ratio).mean(0))
    close(sampled.reconstruction, log_likelihood.mean(0))
    close(sampled.kl, log_ratio.mean(0))
    bound = objectives.iwae(vae, params, x, noise)
    close(bound.objective, torch.log(torch.exp(log_likelihood - log_ratio).mean(0)))
    close(bound.elbo, sampled.elbo)
    closed = objectives.elbo(vae, params, x, noise, beta=beta)
    if posterior == "full":
        divergence = kl_divergence(q.to_torch(), prior)
    else:
        divergence = kl_divergence(q.to_torch(), Independent(TorchNormal(*vae.prior(params, None)), 1))
    close(closed.kl, divergence)
    close(closed.objective, log_likelihood.mean(0) - beta * divergence)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(batch=BATCH, samples=SAMPLES, seed=SEED)
def test_terms_add_up(name, batch, samples, seed):
    vae = model()
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    terms = OBJECTIVES[name](vae, params, x, noise)
    assert all(term.shape == batch for term in terms)
    assert torch.equal(terms.elbo, terms.reconstruction - terms.kl)
    if name != "iwae":
        close(terms.objective, terms.elbo)


@given(batch=BATCH, samples=SAMPLES, seed=SEED)
def test_forward_holds_everything(batch, samples, seed):
    vae = model()
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    run = objectives.forward(vae, params, x, noise)
    assert torch.equal(run.z, run.posterior.loc + run.posterior.scale * noise)
    assert run.likelihood.mean.shape == (samples, *batch, 3)
    assert torch.equal(run.log_likelihood, run.likelihood.log_prob(x))
    assert torch.equal(run.prior.loc, params["prior"]["loc"])


@pytest.mark.parametrize("name", ["elbo", "elbo_sampled"])
@given(beta=st.floats(0, 10), seed=SEED)
def test_beta_as_a_tensor(name, beta, seed):
    vae = model()
    args = (vae, parameters(vae, seed), bits(seed, 4, 3), normals(seed, 2, 4, 2))
    number = OBJECTIVES[name](*args, beta=beta)
    tensor = OBJECTIVES[name](*args, beta=torch.tensor(beta, dtype=torch.float64))
    assert all(torch.equal(one, other) for one, other in zip(number, tensor, strict=True))
    close(number.objective, number.reconstruction - beta * number.kl)
    assert torch.equal(number.elbo, OBJECTIVES[name](*args).elbo)


def test_context_reaches_all_three():
    vae = model()
    seen = []

    def noting(part, fn):
        return lambda *args: (seen.append((part, args[-1])), fn(*args))[1]

    noted = vae._replace(**{part: noting(part, getattr(vae, part)) for part in ("posterior", "prior", "likelihood")})
    args = (noted, parameters(vae, 0), bits(0, 3), normals(0, 1, 2))
    for objective in OBJECTIVES.values():
        objective(*args, context="c")
    assert set(seen) == {("posterior", "c"), ("prior", "c"), ("likelihood", "c")}
    assert len(seen) == 9


# --- per example


def check_per_example(objective, seed, batch=4, samples=3):
    """Each value depends on its own example and noise alone; so it is additive, permuted along, and vmapped."""
    vae = model()
    params, x, noise = parameters(vae, seed), bits(seed, batch, 3), normals(seed, samples, batch, 2)
    together = objective(vae, params, x, noise)
    alone = [objective(vae, params, x[i], noise[:, i]) for i in range(batch)]
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    permuted = objective(vae, params, x[order], noise[:, order])
    vmapped = torch.vmap(lambda x, noise: objective(vae, params, x, noise), (0, 1))(x, noise)
    folded = objective(vae, params, x.reshape(2, -1, 3), noise.reshape(samples, 2, -1, 2))
    for i, term in enumerate(together):
        close(term, torch.stack([terms[i] for terms in alone]))
        close(term[order], permuted[i])
        close(term, vmapped[i])
        close(term, folded[i].flatten())


PER_EXAMPLE = {**OBJECTIVES, "free bits": lambda *args: objectives.elbo(*args, free_bits=0.3)}


@pytest.mark.parametrize("name", PER_EXAMPLE)
@given(seed=SEED, batch=st.sampled_from([2, 4, 6]), samples=SAMPLES)
def test_per_example(name, seed, batch, samples):
    check_per_example(PER_EXAMPLE[name], seed, batch, samples)


def minibatch_free_bits(vae, params, x, noise):
    terms = objectives.elbo(vae, params, x, noise)
    by_dimension = kl_by_dimension(vae.posterior(params, x, None), vae.prior(params, None))
    mean = by_dimension.mean(0) if x.ndim > 1 else by_dimension
    return terms._replace(objective=terms.reconstruction - mean.clamp(min=0.3).sum(-1))


def averaged(vae, params, x, noise):
    terms = objectives.elbo(vae, params, x, noise)
    return Terms(*(term.mean().expand(x.shape[:-1]) for term in terms))


@pytest.mark.parametrize("mutant", [minibatch_free_bits, averaged])
def test_mixing_examples_is_rejected(mutant):
    with pytest.raises((AssertionError, RuntimeError)):
        check_per_example(mutant, 0)


# --- free bits


def check_free_bits(elbo, free_bits, beta, seed):
    vae = model()
    params, x, noise = parameters(vae, seed), bits(seed, 4, 3), normals(seed, 1, 4, 2)
    terms = elbo(vae, params, x, noise, beta=beta, free_bits=free_bits)
    loc, scale = vae.posterior(params, x, None)
    prior = TorchNormal(params["prior"]["loc"], vae.prior(params, None).scale)
    by_dimension = kl_divergence(TorchNormal(loc, scale), prior)
    close(terms.objective, terms.reconstruction - beta * by_dimension.clamp(min=free_bits).sum(-1))
    close(terms.elbo, terms.reconstruction - by_dimension.sum(-1))


@given(free_bits=st.sampled_from([0.0, 0.01, 0.2, 1.0]), beta=st.sampled_from([1.0, 0.5]), seed=SEED)
def test_free_bits_by_dimension(free_bits, beta, seed):
    check_free_bits(objectives.elbo, free_bits, beta, seed)


def free_bits_in_all(vae, params, x, noise, beta, free_bits):
    terms = objectives.elbo(vae, params, x, noise, beta=beta)
    return terms._replace(objective=terms.reconstruction - beta * terms.kl.clamp(min=free_bits))


def test_free_bits_of_the_sum_are_rejected():
    with pytest.raises(AssertionError):
        check_free_bits(free_bits_in_all, 1.0, 1.0, 0)


@given(seed=SEED)
def test_no_gradient_in_the_free_zone(seed):
    vae = constants(3, 3)
    raw = torch.tensor([0.0, 2.0, 0.1, 0.5, 0.5, 0.5], dtype=torch.float64)
    x, noise = bits(seed, 3), normals(seed, 1, 3)

    def gradient(free_bits):
        def objective(raw):
            params = {"encoder": {"raw": raw}, "decoder": {"raw": torch.zeros(3, dtype=torch.float64)}}
            return objectives.elbo(vae, params, x, noise, free_bits=free_bits).objective

        return torch.func.grad(objective)(raw)

    free, paid = gradient(0.5), gradient(0.0)
    assert torch.equal(free[[0, 2, 3, 5]], torch.zeros(4, dtype=torch.float64))
    assert torch.equal(free[[1, 4]], paid[[1, 4]])
    assert (paid != 0).sum() == 5


def test_free_bits_of_a_full_posterior_are_refused():
    vae = model("full")
    args = (vae, parameters(vae, 0), bits(0, 3), normals(0, 1, 2))
    objectives.elbo(*args)
    with pytest.raises(NoClosedFormError, match="does not split over latent dimensions"):
        objectives.elbo(*args, free_bits=0.1)


def test_no_closed_form_names_the_alternative():
    vae = model()._replace(prior=lambda params, context: Logistic(*model().prior(params, context)))
    with pytest.raises(NoClosedFormError, match="kl_monte_carlo"):
        objectives.elbo(vae, parameters(model(), 0), bits(0, 3), normals(0, 1, 2))
