"""Anybody's encoder and decoder as four pure functions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.models.toys import bits, normals, parameters, small_vae
from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, MultivariateNormal, Normal
from vae_fn.models import VAE, Network, build, heads, mlp, objectives, priors
from vae_fn.models.priors import standard_normal
from vae_fn.models.refusals import ImpureModuleError
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


class Pair(nn.Module):
    """Mean and log-variance from two layers, as many write it."""

    def __init__(self):
        super().__init__()
        self.mean, self.log_variance = mlp([4, 2]), mlp([4, 2])

    def forward(self, x):
        return self.mean(x), self.log_variance(x)


class Reshaped(nn.Module):
    """A linear layer whose outputs are laid out anew."""

    def __init__(self, *shape):
        super().__init__()
        self.layer, self.shape = mlp([2, 4]), shape

    def forward(self, z):
        return self.layer(z).view(*self.shape)


FITTING = {"encoder": mlp([4, 4]), "decoder": mlp([2, 4])}


def build_with(**given):
    parts = {**FITTING, "data_dim": 4, "latent_dim": 2, **given}
    return build(parts.pop("encoder"), parts.pop("decoder"), **parts)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"decoder": mlp([3, 4])},
            r"the decoder \(latent_dim=2\) cannot be run on a batch of inputs of shape \(2,\): at '0', "
            r"Linear\(in_features=3, .*\) on a tensor of shape \(2, 2\): ",
        ),
        ({"encoder": mlp([5, 4])}, r"the encoder \(data_dim=4\) cannot .* at '0', Linear\(in_features=5, "),
        ({"decoder": Reshaped(-1, 3)}, r"the decoder .* at 'the module': shape '\[-1, 3\]'"),
        ({"decoder": Reshaped(-1)}, r"maps 2 inputs of shape \(2,\) to \(8,\): let it give \(2, \.\.\.\)"),
        ({"decoder": Reshaped(4, 2)}, r"maps 2 inputs of shape \(2,\) to \(4, 2\)"),
        ({"encoder": Pair()}, r"the encoder \(data_dim=4\) gives a tuple: .* as torch\.cat of the parts"),
    ],
)
def test_modules_that_do_not_fit(given, words):
    with pytest.raises(ImpureModuleError, match=words):
        build_with(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"encoder": nn.Linear}, r"the encoder .* must be an nn\.Module or a models\.Network.*, not the class Linear"),
        ({"decoder": torch.sigmoid}, r"the decoder .* must be an nn\.Module or .*, not the function sigmoid"),
        ({"posterior": "normal"}, "posterior must be a Head, not 'normal': take one of models.heads"),
        ({"likelihood": heads.fixed_normal}, "likelihood must be a Head, not the function fixed_normal"),
        ({"prior": priors.normal(2)}, "prior must be a function, not a Prior: give a function of latent_dim"),
        ({"prior": priors.learned}, r"prior\(latent_dim\) must be a Prior, not the function prior"),
        (
            {"encoder": Network(lambda key: {"w": random.normal(key, (4, 4))}, lambda params, x: (x @ params["w"], x))},
            "what the encoder gives must be a Tensor, not a tuple",
        ),
    ],
)
def test_parts_of_another_kind(given, words, unchecked):
    with pytest.raises(TypeError, match=words):
        build_with(**given)


@pytest.mark.parametrize("value", [0, 2.0, (2, 2)])
@pytest.mark.parametrize("name", ["data_dim", "latent_dim"])
def test_widths_are_whole_numbers(name, value, unchecked):
    with pytest.raises(ValueError, match=rf"^{name}=.* is out of range: give a whole number, 1 or more"):
        build_with(**{name: value})
    with pytest.raises(ValueError, match=r"^a layer's width=.* is out of range"):
        mlp([4, value])


def test_a_decoder_of_logits_has_no_sigmoid():
    sigmoid = nn.Sequential(mlp([2, 4]), nn.Sequential(nn.Sigmoid()))
    with pytest.raises(ValueError, match=r"ends in a Sigmoid, and heads\.bernoulli reads logits: leave"):
        build_with(decoder=sigmoid)
    build_with(decoder=sigmoid, likelihood=heads.fixed_normal(0.1))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (bits(0, 3, 4).to(torch.uint8), r"a tensor of floats .*, not a Tensor of torch.*: data\.scale"),
        (bits(0, 3, 4).float().numpy(), "a tensor of floats .*, not an ndarray"),
        (torch.zeros(3, 5), r"the data have shape \(3, 5\), and the model reads \(\*batch, 4\)"),
        (torch.zeros(()), r"the data have shape \(\), "),
    ],
)
def test_what_a_model_does_not_read(x, words, unchecked):
    vae = build_with()
    with pytest.raises((TypeError, ShapeError), match=words):
        vae.posterior(vae.init(random.key(0)), x, None)


def test_what_are_no_parameters_and_no_latents(unchecked):
    vae = build_with()
    with pytest.raises(TypeError, match=r"params must be a Mapping, not \(\): .* state\.params"):
        vae.posterior((), torch.zeros(3, 4), None)
    with pytest.raises(ShapeError, match=r"the decoder \(latent_dim=2\) takes inputs \(\*batch, 2\), not \(3, 5\)"):
        vae.likelihood(vae.init(random.key(0)), torch.zeros(3, 5), None)


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
