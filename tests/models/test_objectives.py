"""Objectives against integrals, closed forms and torch.distributions, in float64."""

import functools
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, kl_divergence
from torch.distributions import Normal as TorchNormal

from tests.models import toys
from tests.models.toys import bits, constants, learned_prior, normals, parameters, small_vae
from vae_fn import random, tree
from vae_fn.distributions import Logistic, NoClosedFormError, kl_by_dimension, positive
from vae_fn.models import heads, objectives
from vae_fn.models.objectives import Terms

SEED = st.integers(0, 2**31)
BATCH = st.sampled_from([(), (1,), (4,), (2, 3)])
SAMPLES = st.integers(1, 4)
POSTERIORS = {"normal": heads.normal, "laplace": heads.laplace, "full": heads.full_normal}
OBJECTIVES = {"elbo": objectives.elbo, "elbo_sampled": objectives.elbo_sampled, "iwae": objectives.iwae}


def model(posterior="normal", learned=True, data=3, latents=2):
    vae = small_vae(data, latents, posterior=POSTERIORS[posterior])
    return learned_prior(vae, latents) if learned else vae


def close(actual, expected, rtol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol)


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


# --- in float32


def check_small_scales(sampled, seed):
    """At a scale of 1e-8 around 0.5 float32 holds no noise in z; log q must still know it."""
    vae = constants(3, 2)
    raw = {"encoder": {"raw": torch.tensor([0.5, -0.5, -30.0, -25.0])}, "decoder": {"raw": torch.zeros(3)}}
    x, noise = bits(seed, 4, 3).float(), normals(seed, 2, 4, 2).float()
    exact = objectives.elbo_sampled(vae, tree.map(torch.Tensor.double, raw), x.double(), noise.double())
    torch.testing.assert_close(sampled(vae, raw, x, noise).kl.double(), exact.kl, rtol=1e-6, atol=0)


@given(seed=SEED)
def test_log_q_comes_from_the_noise(seed):
    check_small_scales(objectives.elbo_sampled, seed)
    check_small_scales(objectives.iwae, seed)


def recomputed(vae, params, x, noise):
    q = vae.posterior(params, x, None)
    z = q.sample(noise)
    kl = (q.log_prob(z) - vae.prior(params, None).log_prob(z)).mean(0)
    return objectives.elbo_sampled(vae, params, x, noise)._replace(kl=kl)


def test_log_q_recomputed_from_z_is_rejected():
    with pytest.raises(AssertionError):
        check_small_scales(recomputed, 0)


EDGE = torch.tensor([-1e4, -300.0, -104.0, -20.0, -1.0, 0.0, 1.0, 20.0, 89.0, 1e4], dtype=torch.float64)
ENVELOPE = {
    **OBJECTIVES,
    "beta": lambda *args: objectives.elbo(*args, beta=torch.tensor(4.0)),
    "free bits": lambda *args: objectives.elbo(*args, free_bits=0.5),
}
LIKELIHOODS = {"bernoulli": heads.bernoulli, "fixed normal": heads.fixed_normal(0.1)}


def check_envelope(objective, likelihood, dtype, posterior=heads.normal):
    """Every location, raw scale and raw likelihood output in EDGE, at noise up to 8, targets 0 and 1."""
    vae = constants(2, 1, posterior, likelihood)
    grid = torch.tensor([*itertools.product(EDGE.tolist(), repeat=3)], dtype=dtype)
    noise = torch.tensor([-8.0, 0.0, 8.0], dtype=dtype).reshape(3, 1, 1).expand(3, len(grid), 1)
    x = torch.tensor([0.0, 1.0], dtype=dtype).expand(len(grid), 2)

    def total(encoded, decoded, slope):
        decoder = likelihood.apply
        tilted = vae._replace(
            posterior=lambda params, x, c: posterior.apply(params["encoder"]["raw"]),
            likelihood=lambda params, z, c: decoder(params["decoder"]["raw"] + slope * z / 1e4),
        )
        terms = objective(tilted, {"encoder": {"raw": encoded}, "decoder": {"raw": decoded}}, x, noise)
        return terms.objective.sum(), terms

    args = (grid[:, :2], grid[:, 2:].expand(-1, 2), torch.ones((), dtype=dtype))
    grads, terms = torch.func.grad(total, argnums=(0, 1, 2), has_aux=True)(*args)
    for leaf in (*terms, *grads):
        assert leaf.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("name", ENVELOPE)
def test_finite_in_the_promised_envelope(name, likelihood, dtype):
    check_envelope(ENVELOPE[name], LIKELIHOODS[likelihood], dtype)


def test_exponential_scales_are_rejected():
    def exponential(raw):
        loc, log_variance = raw.chunk(2, -1)
        return heads.Normal(loc, torch.exp(0.5 * log_variance))

    with pytest.raises(AssertionError):
        check_envelope(objectives.elbo, heads.bernoulli, torch.float32, heads.normal._replace(apply=exponential))


def test_scales_without_a_floor_are_rejected():
    def bare(raw):
        loc, scale = raw.chunk(2, -1)
        return heads.Normal(loc, positive(scale, eps=0.0))

    with pytest.raises(AssertionError):
        check_envelope(objectives.elbo, heads.bernoulli, torch.float32, heads.normal._replace(apply=bare))


def test_cross_entropy_of_probabilities_is_rejected():
    class OfProbabilities(heads.Bernoulli):
        def log_prob(self, value):
            p = torch.sigmoid(self.logits)
            return (value * p.log() + (1 - value) * (1 - p).log()).sum(-1)

    with pytest.raises(AssertionError):
        check_envelope(objectives.elbo, heads.bernoulli._replace(apply=OfProbabilities), torch.float32)


@given(seed=SEED, samples=SAMPLES)
def test_objectives_read_noise_from_a_key(seed, samples):
    vae = model()
    params, x = vae.init(random.key(seed)), bits(seed, 4, 3).float()
    noise = random.draw(random.key(seed), vae.posterior(params, x, None).noise_like((samples,)))
    assert objectives.elbo(vae, params, x, noise).objective.dtype == torch.float32
