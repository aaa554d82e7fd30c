"""Anybody's encoder and decoder as four pure functions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.models.toys import bits, normals, parameters, small_vae
from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, MultivariateNormal, Normal
from vae_fn.models import VAE, Network, build, heads, mlp, objectives
from vae_fn.models.priors import standard_normal
from vae_fn.models.vae import ShapeError

BATCH = st.sampled_from([(), (1,), (4,), (3, 2)])


def own_modules() -> VAE:
    encoder = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ELU(), nn.Linear(8, 4))
    decoder = nn.Sequential(nn.Linear(2, 8), nn.ELU(), nn.Linear(8, 6))
    return build(encoder, decoder, data_dim=6, latent_dim=2)


def own_convolutions() -> VAE:
    image = nn.Unflatten(-1, (1, 6, 6))
    encoder = nn.Sequential(image, nn.Conv2d(1, 3, 3, stride=3), nn.SiLU(), nn.Flatten(), nn.Linear(12, 4))
    grow = nn.Sequential(nn.Unflatten(-1, (3, 2, 2)), nn.SiLU(), nn.ConvTranspose2d(3, 1, 3, stride=3))
    return build(encoder, nn.Sequential(nn.Linear(2, 12), grow, nn.Flatten()), data_dim=36, latent_dim=2)


def own_functions() -> VAE:
    def linear(fan_in: int, fan_out: int) -> Network:
        return Network(
            init=lambda key: {"w": random.normal(key, (fan_in, fan_out)) / fan_in**0.5},
            apply=lambda params, x: torch.tanh(x) @ params["w"],
        )

    return build(linear(6, 5), linear(2, 6), data_dim=6, latent_dim=2, posterior=heads.full_normal)


OWN = {"modules": (own_modules(), 6), "convolutions": (own_convolutions(), 36), "functions": (own_functions(), 6)}


@pytest.mark.parametrize("name", OWN)
@given(batch=BATCH, samples=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_one_s_own_networks(name, batch, samples, seed):
    vae, data = OWN[name]
    params = vae.init(random.key(seed))
    x = bits(seed, *batch, data).float()
    posterior = vae.posterior(params, x, None)
    z = posterior.sample(random.draw(random.key(seed), posterior.noise_like((samples,))))
    likelihood = vae.likelihood(params, z, None)
    assert posterior.mean.shape == (*batch, 2)
    assert vae.prior(params, None).mean.shape == (2,)
    assert isinstance(likelihood, Bernoulli)
    assert likelihood.log_prob(x).shape == (samples, *batch)
    each = torch.stack([vae.posterior(params, row, None).mean for row in x.reshape(-1, data)])
    torch.testing.assert_close(posterior.mean, each.reshape(*batch, 2))


def test_they_train():
    vae, data = OWN["functions"]
    params, x, noise = vae.init(random.key(0)), bits(0, 5, data).float(), normals(1, 1, 5, 2).float()
    grads = torch.func.grad(lambda params: objectives.elbo(vae, params, x, noise).objective.mean())(params)
    assert all(leaf.abs().max() > 0 for leaf in tree.leaves(grads))
    assert isinstance(vae.posterior(params, x, None), MultivariateNormal)


def test_encoder_and_decoder_draw_from_keys_of_their_own():
    vae = build(mlp([4, 4]), mlp([2, 4]), data_dim=4, latent_dim=2)
    params = vae.init(random.key(0))
    one, other = params["encoder"]["0.weight"].flatten()[:8], params["decoder"]["0.weight"].flatten()
    assert not torch.equal(one.argsort(), other.argsort())


@pytest.mark.parametrize(
    ("widths", "settings", "message"),
    [
        (((4, 3), (2, 4)), {}, r"the encoder maps inputs \(batch, 4\) to \('batch', 3\).*reads 4 outputs"),
        (((4, 4), (2, 5)), {}, r"the decoder maps inputs \(batch, 2\) to \('batch', 5\).*give \(batch, 4\)"),
        (((4, 4), (2, 4)), {"posterior": heads.full_normal}, "the encoder .* reads 5 outputs"),
        (((4, 4), (2, 4)), {"likelihood": heads.normal}, "the decoder .* reads 8 outputs"),
    ],
)
def test_wrong_widths(widths, settings, message):
    encoder, decoder = (mlp(list(pair)) for pair in widths)
    with pytest.raises(ShapeError, match=message):
        build(encoder, decoder, data_dim=4, latent_dim=2, **settings)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_prior_is_standard_normal_in_float32_or_wider(dtype, expected):
    prior = standard_normal(3, like=torch.zeros(1, dtype=dtype))
    assert isinstance(prior, Normal)
    assert prior.loc.dtype == prior.scale.dtype == expected
    assert torch.equal(prior.loc, torch.zeros(3, dtype=expected))
    assert torch.equal(prior.scale, torch.ones(3, dtype=expected))


def test_a_bfloat16_trunk_has_float32_objectives():
    vae = small_vae()
    params = tree.map(torch.Tensor.bfloat16, parameters(vae, 0))
    encoded = vae.posterior(params, bits(0, 4, 3).bfloat16(), None)
    assert encoded.scale.dtype == torch.float32
    decoded = vae.likelihood(params, encoded.mean.bfloat16(), None)
    assert decoded.log_prob(bits(0, 4, 3).float()).dtype == torch.float32
