"""Objectives in float32: small scales and the promised envelope."""

import itertools

import pytest
import torch
from hypothesis import given

from tests.models.cases import OBJECTIVES, SAMPLES, SEED, model
from tests.models.toys import bits, constants, normals
from vae_fn import random, tree
from vae_fn.distributions import positive
from vae_fn.models import heads, objectives

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
