"""Probabilistic PCA: the optimum against torch.distributions, and what is exactly 0 there."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from tests.gaps import largest
from tests.gradients.published.integration import assert_gradient_of, log_weights, over_line
from tests.models.toys import normals
from vae_fn import random, tree, verify
from vae_fn.data import load_mnist
from vae_fn.errors import UserError
from vae_fn.gradients.estimators import dreg, iwae, pathwise, sticking_the_landing
from vae_fn.gradients.published import LinearVAE
from vae_fn.gradients.published.linear_vae import draw_data, optimum

KEY = st.integers(0, 1000)
LATENTS = st.integers(1, 4)


@st.composite
def options(draw, latents=LATENTS, **chosen):
    k = draw(latents)
    return LinearVAE(k, dim=k + draw(st.integers(1, 4)), count=draw(st.integers(k + 8, 40)), key=draw(KEY), **chosen)


def elbo(x):
    """Summed over the data, E log p(x | z) by the moments of q and the KL by torch.distributions."""

    def value(params) -> float:
        encoder, decoder = params["encoder"], params["decoder"]
        loc, scale = x @ encoder["weight"].T + encoder["bias"], encoder["log_scale"].exp()
        gap = x - loc @ decoder["weight"].T - decoder["bias"]
        variance = (2 * decoder["log_scale"]).exp()
        spread = (decoder["weight"] ** 2 @ scale**2).sum() * len(x)
        likelihood = -0.5 * ((gap.square().sum() + spread) / variance + x.numel() * (2 * math.pi * variance).log())
        q, p = Normal(loc, scale), Normal(torch.zeros_like(loc), torch.ones_like(loc))
        return (likelihood - kl_divergence(Independent(q, 1), Independent(p, 1)).sum()).item()

    return value


def log_likelihood(params, x):
    """log N(x; mu, W W^T + s^2 I) of each datum."""
    weight, bias, log_scale = (params["decoder"][name] for name in ("weight", "bias", "log_scale"))
    noise = (2 * log_scale).exp() * torch.eye(len(bias), dtype=torch.float64)
    return MultivariateNormal(bias, weight @ weight.T + noise).log_prob(x)


@given(options(st.integers(1, 2), perturbation=0.3), st.sampled_from(["optimum", "initial"]))
def test_the_elbo_and_its_gradient_are_those_of_the_closed_form(chosen, at):
    posed = LinearVAE(**(vars(chosen) | {"at": at})).make()
    x = posed.data[:3]
    assert_gradient_of(over_line(posed.pose(x)), elbo(x), posed.params)


def test_a_variance_for_a_standard_deviation_is_seen():
    posed = LinearVAE(1, dim=2, count=8).make()

    def mistaken(params):
        decoder = params["decoder"] | {"log_scale": params["decoder"]["log_scale"] / 2}
        return elbo(posed.data[:3])(params | {"decoder": decoder})

    with pytest.raises(AssertionError):
        assert_gradient_of(over_line(posed.pose(posed.data[:3])), mistaken, posed.params)


@given(options(perturbation=0.0))
def test_at_the_optimum_every_draw_weighs_the_likelihood(chosen):
    posed = chosen.make()
    expected = log_likelihood(posed.params, posed.data)
    found = log_weights(posed.problem, posed.params, normals(chosen.key, 3, *posed.data.shape[:1], chosen.latents))
    torch.testing.assert_close(found, expected.expand(3, -1), rtol=1e-9, atol=1e-9)
    total = tipping_and_bishop(posed.data, chosen.latents)
    torch.testing.assert_close(expected.sum(), total, rtol=1e-10, atol=1e-9)


def tipping_and_bishop(x, k):
    """-(N/2) [d log 2 pi + sum_j<=k log lambda_j + (d - k) log s^2 + d]."""
    d, values = x.shape[1], torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    bulk = (d - k) * values[k:].mean().log()
    return -len(x) / 2 * (d * math.log(2 * math.pi) + values[:k].log().sum() + bulk + d)


@given(options(perturbation=0.0))
def test_at_the_optimum_the_likelihood_is_stationary_and_falls_around_it(chosen):
    posed = chosen.make()

    def total(params):
        return log_likelihood(params, posed.data).sum()

    for leaf in tree.leaves(torch.func.grad(total)(posed.params)):
        torch.testing.assert_close(leaf, torch.zeros_like(leaf), rtol=0, atol=1e-7 * posed.data.square().sum().item())
    aside = tree.map(lambda leaf: leaf + 0.01 * normals(chosen.key, *leaf.shape), posed.params)
    assert total(aside) < total(posed.params)


@given(options(perturbation=0.0))
def test_estimators_that_hold_the_density_have_no_encoder_gradient_at_the_optimum(chosen):
    posed, noise = chosen.make(), normals(chosen.key, 2, chosen.count, chosen.latents)

    def encoder(estimator):
        grads = estimator.estimate(posed.problem, posed.params, noise, ()).grads["encoder"]
        return largest(leaf.abs().max() for leaf in tree.leaves(grads))

    assert largest(map(encoder, (sticking_the_landing(), dreg()))) < 1e-8
    assert min(encoder(pathwise()), encoder(iwae())) > 1e-3


def rotated(params, angle=0.7):
    """W R: the same likelihood, and a posterior whose covariance is no longer diagonal."""
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    encoder, decoder = params["encoder"], params["decoder"]
    turned = {"weight": turn.T @ encoder["weight"], "bias": turn.T @ encoder["bias"]}
    return {"encoder": encoder | turned, "decoder": decoder | {"weight": decoder["weight"] @ turn}}


def test_a_rotation_keeps_the_likelihood_and_loses_the_bound():
    posed = LinearVAE(2, dim=5, count=50, perturbation=0.0).make()
    params, x = rotated(posed.params), posed.data
    expected = log_likelihood(posed.params, x)
    torch.testing.assert_close(log_likelihood(params, x), expected)
    assert (log_weights(posed.problem, params, normals(0, 3, 50, 2)) - expected).abs().max() > 1e-2
    assert elbo(x)(params) < elbo(x)(posed.params) - 1e-2 * len(x)


@given(options(st.just(3), perturbation=0.0), st.floats(0.1, 0.9))
def test_latents_below_the_variance_collapse(chosen, between):
    """A variance between the second and the third eigenvalue takes the third latent off, and the bound is tight."""
    x = chosen.make().data
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    assume(values[1] - values[2] > 0.01)
    variance = (values[2] + between * (values[1] - values[2])).item()
    params = optimum(x, 3, variance)
    assert torch.equal(params["decoder"]["weight"].abs().amax(0) > 0, torch.tensor([True, True, False]))
    assert torch.equal(params["encoder"]["weight"].abs().amax(1) > 0, torch.tensor([True, True, False]))
    assert params["encoder"]["log_scale"][2].abs() < 1e-15
    assert params["encoder"]["bias"][2] == 0
    weights = log_weights(chosen.make().problem, params, normals(0, 2, len(x), 3))
    torch.testing.assert_close(weights, log_likelihood(params, x).expand(2, -1), rtol=1e-9, atol=1e-9)
    moved = params["decoder"]["weight"] + 0.01 * normals(chosen.key, *params["decoder"]["weight"].shape)
    aside = {"decoder": params["decoder"] | {"weight": moved}}
    assert log_likelihood(aside, x).sum() < log_likelihood(params, x).sum()


def test_initial_parameters_are_those_of_linear_layers():
    posed = LinearVAE(2, dim=9, count=30, at="initial", perturbation=0.0, variance=0.25).make()
    for part, inputs in (("encoder", 9), ("decoder", 2)):
        for name in ("weight", "bias"):
            leaf = posed.params[part][name]
            assert 0.3 * inputs**-0.5 < leaf.abs().max() < inputs**-0.5
    assert torch.equal(posed.params["encoder"]["log_scale"], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(posed.params["decoder"]["log_scale"].exp(), torch.tensor([0.5], dtype=torch.float64))


def test_drawn_data_have_the_variance_of_the_model_in_every_direction():
    """W W^T + I: by the squares of differences of two data along W and across it."""

    def half_squared_gaps(key, n):
        first, second = draw_data(2 * n, 2, 1, key).reshape(2, n, 2)
        along = torch.nn.functional.normalize(weight_of(key).squeeze(-1), dim=0)
        across = torch.stack([-along[1], along[0]])
        squares = ((first - second) @ torch.stack([along, across]).T) ** 2 / 2
        return squares / torch.stack([1 + weight_of(key).square().sum(), torch.ones((), dtype=torch.float64)])

    def weight_of(key):
        return random.normal(random.split(key, 4)[0], (2, 1), torch.float64)

    verify.mean(half_squared_gaps, torch.ones(2), name="variance of a linear model's data").check()
    assert not verify.mean(half_squared_gaps, torch.tensor([1.0, 0.5]), name="another variance").passed


def test_directions_have_the_same_sign_on_every_machine():
    weight = LinearVAE(3, dim=6, perturbation=0.0).make().params["decoder"]["weight"]
    assert (weight.gather(0, weight.abs().argmax(0, keepdim=True)) > 0).all()


def test_mnist_s_own_principal_components():
    posed = LinearVAE(3, "mnist", 784, 64, perturbation=0.0).make()
    torch.testing.assert_close(posed.data, load_mnist().train.images[:64].double() / 255, rtol=0, atol=1e-7)
    weights = log_weights(posed.problem, posed.params, normals(0, 2, 64, 3))
    torch.testing.assert_close(weights, log_likelihood(posed.params, posed.data).expand(2, -1), rtol=1e-7, atol=1e-6)


def test_impossible_options_are_refused():
    with pytest.raises(UserError, match="set dim to 784"):
        LinearVAE(data="mnist")
    with pytest.raises(UserError, match="set latents from 1 to 7"):
        LinearVAE(8, dim=8)
    with pytest.raises(UserError, match="set variance above 0"):
        LinearVAE(variance=0.0)
    with pytest.raises(UserError, match="set fewer latents"):
        optimum(normals(0, 9, 1) @ normals(1, 1, 4), 1)
