"""Rainforth's model: its ELBO in closed form, its optimum, and what its covariance of 2/3 means."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gradients.published.integration import assert_gradient_of, log_weights, over_line
from tests.models.toys import normal_line, normals
from vae_fn import tree, verify
from vae_fn.errors import UserError
from vae_fn.gradients.estimators import pathwise
from vae_fn.gradients.published import Rainforth
from vae_fn.gradients.published.rainforth import draw_data
from vae_fn.models.objectives import log_mean_exp

KEY = st.integers(0, 1000)
SMALL = {"dim": st.integers(1, 2), "count": st.integers(1, 4), "variance": st.floats(0.3, 1.5), "key": KEY}


def elbo(variance: float, x: torch.Tensor):
    """Sum over the data of E log p(x | z) + E log p(z) + the entropy of N(m, v I), m = A x + b."""

    def value(params) -> float:
        m = x @ params["encoder"]["weight"].T + params["encoder"]["bias"]
        squares = ((x - m) ** 2).sum() + ((m - params["prior"]["loc"]) ** 2).sum()
        spread = x.numel() * (2 * variance + 2 * math.log(2 * math.pi) - 1 - math.log(2 * math.pi * variance))
        return (-0.5 * (squares + spread)).item()

    return value


def log_likelihood(x: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
    """x ~ N(mu, 2 I)."""
    return torch.distributions.Normal(mu, math.sqrt(2)).log_prob(x).sum(-1)


@given(perturbation=st.floats(0, 1), **SMALL)
def test_the_elbo_and_its_gradient_are_those_of_the_closed_form(dim, count, variance, key, perturbation):
    posed = Rainforth(dim, count, variance, perturbation, key).make()
    assert_gradient_of(over_line(posed.problem), elbo(variance, posed.data), posed.params)


def test_two_thirds_as_a_standard_deviation_is_seen():
    mistaken = Rainforth(1, 2, variance=(2 / 3) ** 2).make()
    with pytest.raises(AssertionError):
        assert_gradient_of(over_line(mistaken.problem), elbo(2 / 3, mistaken.data), mistaken.params)
    q = Rainforth().make().problem.q(Rainforth().make().params)
    torch.testing.assert_close(q.scale**2, torch.full_like(q.scale, 2 / 3))


def test_data_are_as_many_as_the_paper_s_and_have_the_variance_of_the_model():
    assert Rainforth().make().data.shape == (1024, 20)

    def half_squared_gaps(key, n):
        first, second = draw_data(2 * n, 1, key).reshape(2, n)
        return (first - second) ** 2 / 2

    verify.mean(half_squared_gaps, 2.0, name="variance of Rainforth's data").check()
    assert not verify.mean(half_squared_gaps, 1.0, name="variance of the likelihood alone").passed


@given(dim=st.integers(1, 6), count=st.integers(1, 30), variance=st.floats(0.3, 1.5), key=KEY)
def test_every_gradient_of_the_elbo_is_zero_at_the_optimum(dim, count, variance, key):
    posed = Rainforth(dim, count, variance, 0.0, key).make()
    x, (encoder, prior) = posed.data, (posed.params["encoder"], posed.params["prior"])
    mean = x.mean(0)
    torch.testing.assert_close(prior["loc"], mean)
    torch.testing.assert_close(encoder["weight"], torch.eye(dim, dtype=torch.float64) / 2)
    torch.testing.assert_close(encoder["bias"], mean / 2)
    m = x @ encoder["weight"].T + encoder["bias"]
    by_m = (x - m) - (m - prior["loc"])
    for gradient in (by_m.sum(0), by_m.T @ x, (m - prior["loc"]).sum(0)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-11 * count)


def two_sample_bound(posed):
    """The 2-sample bound summed over the data, integrated over both noises."""
    nodes, weights = normal_line(2, 65)
    noise = nodes.T.reshape(2, len(nodes), 1, 1)

    def value(params):
        return torch.tensordot(weights, log_mean_exp(log_weights(posed.problem, params, noise)), 1).sum()

    return value


@pytest.mark.parametrize("variance", [2 / 3, 0.5])
def test_the_optimum_is_that_of_the_two_sample_bound_too(variance):
    posed = Rainforth(1, 12, variance, 0.0).make()
    for leaf in tree.leaves(torch.func.grad(two_sample_bound(posed))(posed.params)):
        torch.testing.assert_close(leaf, torch.zeros_like(leaf), rtol=0, atol=1e-10)
    perturbed = Rainforth(1, 12, variance, 0.1).make()
    grads = torch.func.grad(two_sample_bound(perturbed))(perturbed.params)
    assert min(leaf.abs().max().item() for leaf in tree.leaves(grads)) > 1e-3


@given(dim=st.integers(1, 20), count=st.integers(1, 5), key=KEY)
def test_with_half_the_identity_every_bound_is_the_likelihood_draw_by_draw(dim, count, key):
    posed = Rainforth(dim, count, 0.5, 0.0, key).make()
    noise, expected = normals(key, 3, count, dim), log_likelihood(posed.data, posed.params["prior"]["loc"])
    weights = log_weights(posed.problem, posed.params, noise)
    torch.testing.assert_close(weights, expected.expand(3, -1), rtol=1e-11, atol=1e-11)
    wider = Rainforth(dim, count, 2 / 3, 0.0, key).make()
    assert (log_weights(wider.problem, wider.params, noise) - expected).abs().max() > 1e-3


def test_the_paper_s_q_is_not_the_posterior():
    """KL(N(m, v I) || N(m, I / 2)) = d (2 v - 1 - log 2 v) / 2, the same for every datum."""
    posed = Rainforth(perturbation=0.0).make()
    gap = log_likelihood(posed.data, posed.params["prior"]["loc"]).sum() - elbo(2 / 3, posed.data)(posed.params)
    torch.testing.assert_close(gap.item() / 1024, 20 * (1 / 3 - math.log(4 / 3)) / 2, rtol=1e-9, atol=0)


def test_gradients_beside_the_optimum_are_these():
    """With r = (x - m) - (m - mu): r in b, r x^T in A, m - mu in mu, for any variance."""
    posed = Rainforth(2, 3, perturbation=0.3).make()
    x, encoder, mu = posed.data, posed.params["encoder"], posed.params["prior"]["loc"]
    m = x @ encoder["weight"].T + encoder["bias"]
    r = (x - m) - (m - mu)

    def grads(noise):
        return pathwise().estimate(posed.pose(x[1]), posed.params, noise, ()).grads

    noise = pathwise().noise_like(posed.pose(x[1]), posed.params, 1)
    expected = {"encoder": {"weight": torch.outer(r[1], x[1]), "bias": r[1]}, "prior": {"loc": (m - mu)[1]}}
    verify.exact(grads, expected, noise, name="rainforth").check()
    swapped = expected | {"prior": {"loc": (mu - m)[1]}}
    assert not verify.exact(grads, swapped, noise, name="rainforth").passed


def test_keys_make_the_data_and_not_the_options():
    assert torch.equal(Rainforth(key=3).make().data, Rainforth(key=3, perturbation=1.0, variance=0.5).make().data)
    assert not torch.equal(Rainforth(key=3).make().data, Rainforth(key=4).make().data)


def test_impossible_options_are_refused():
    with pytest.raises(UserError, match="set dim and count"):
        Rainforth(dim=0)
    with pytest.raises(UserError, match="set variance above 0"):
        Rainforth(variance=0.0)
