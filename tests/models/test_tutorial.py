"""The tutorial's model, beside the program that it stands for."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.models.toys import built, normals
from vae_fn import random, tree
from vae_fn.models import objectives, tutorial

ENCODER, DECODER = [784, 512, 256, 128, 64, 4], [2, 64, 128, 256, 512, 784]


class Tutorial(nn.Module):
    """The program written out: it reads centred pixels and scores the original ones."""

    def __init__(self, hidden=512, latents=2):
        super().__init__()
        widths = [784, hidden, hidden // 2, hidden // 4, hidden // 8]
        encoder, decoder = [], []
        for i in range(4):
            encoder += [nn.Linear(widths[i], widths[i + 1]), nn.SiLU()]
        encoder.append(nn.Linear(widths[4], 2 * latents))
        decoder = [nn.Linear(latents, widths[4]), nn.SiLU()]
        for i in (4, 3, 2):
            decoder += [nn.Linear(widths[i], widths[i - 1]), nn.SiLU()]
        decoder += [nn.Linear(widths[1], 784), nn.Sigmoid()]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    def forward(self, pixels, noise):
        mu, raw = torch.chunk(self.encoder(pixels - 0.5), 2, dim=-1)
        scale = F.softplus(raw) + 1e-8
        posterior = torch.distributions.MultivariateNormal(mu, scale_tril=torch.diag_embed(scale))
        reconstruction = self.decoder(mu + scale * noise)
        bce = F.binary_cross_entropy(reconstruction, pixels, reduction="none").sum(-1).mean()
        standard = torch.distributions.MultivariateNormal(
            torch.zeros_like(mu), scale_tril=torch.eye(mu.shape[-1], dtype=mu.dtype).expand(*mu.shape, -1)
        )
        return bce, torch.distributions.kl.kl_divergence(posterior, standard).mean()


def check_program(objective):
    """Value and gradient of the mean over the batch, in float64, at the same weights and noise."""
    vae = tutorial()
    params = tree.map(torch.Tensor.double, vae.init(random.key(1)))
    x, noise = torch.sigmoid(3 * normals(0, 8, 784)), normals(1, 1, 8, 2)
    program = built(Tutorial).double()
    program.load_state_dict({f"{part}.{name}": p for part in params for name, p in params[part].items()})
    bce, kl = program(x, noise[0])
    (bce + kl).backward()

    def mean(params):
        terms = objective(vae, params, x, noise)
        return terms.objective.mean(), terms

    grads, terms = torch.func.grad(mean, has_aux=True)(params)
    torch.testing.assert_close(-terms.reconstruction.mean(), bce, rtol=1e-12, atol=0)
    torch.testing.assert_close(terms.kl.mean(), kl, rtol=1e-12, atol=0)
    torch.testing.assert_close(-terms.objective.mean(), bce + kl, rtol=1e-12, atol=0)
    for name, parameter in program.named_parameters():
        part, path = name.split(".", 1)
        torch.testing.assert_close(-grads[part][path], parameter.grad, rtol=1e-9, atol=1e-13)


def test_it_is_the_tutorial_s_program():
    check_program(objectives.elbo)


def test_uncentred_data_are_rejected():
    with pytest.raises(AssertionError):
        check_program(lambda vae, params, x, noise: objectives.elbo(vae, params, x + 0.5, noise))


def test_it_has_the_tutorial_s_parameters():
    params = tutorial().init(random.key(0))
    assert tree.size(params) == 1_149_972
    assert [tree.size(params[part]) for part in ("encoder", "decoder")] == [574_660, 575_312]
    for part, widths in (("encoder", ENCODER), ("decoder", DECODER)):
        expected = {}
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            expected |= {f"{2 * i}.weight": (fan_out, fan_in), f"{2 * i}.bias": (fan_out,)}
        assert {name: tuple(parameter.shape) for name, parameter in params[part].items()} == expected


def test_other_widths():
    params = tutorial(latent_dim=3, hidden_dim=16).init(random.key(0))
    assert [params["encoder"][f"{i}.weight"].shape[0] for i in (0, 2, 4, 6, 8)] == [16, 8, 4, 2, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_dim": 100}, "multiple of 8, not 100"),
        ({"hidden_dim": 0}, "multiple of 8, not 0"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, not 0"),
    ],
)
def test_impossible_widths(settings, message):
    with pytest.raises(ValueError, match=message):
        tutorial(**settings)
