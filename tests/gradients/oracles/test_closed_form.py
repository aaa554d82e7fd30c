"""The linear-Gaussian model: against torch's densities, Bayes' rule, quadrature, and Tipping & Bishop's formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions

from tests.gaps import largest
from tests.gradients.oracles.cases import gap
from tests.models.toys import normals
from vae_fn import tree
from vae_fn.distributions import MultivariateNormal, Normal
from vae_fn.errors import UserError
from vae_fn.gradients import Problem
from vae_fn.gradients.oracles import closed_form, importance, quadrature
from vae_fn.gradients.oracles.closed_form import LinearGaussian, elbo, log_evidence, posterior, probabilistic_pca
from vae_fn.gradients.oracles.quadrature import elbo as by_quadrature


def root(seed, size):
    """A lower-triangular matrix with a positive diagonal."""
    return normals(seed, size, size).tril(-1) * 0.4 + torch.diag(normals(seed + 1, size).abs() + 0.4)


def a_model(seed, latents=2, data=3, full=False):
    loc = normals(seed, latents)
    prior = MultivariateNormal(loc, root(seed + 1, latents)) if full else Normal(loc, normals(seed + 1, latents).exp())
    return LinearGaussian(
        prior, normals(seed + 3, data, latents), normals(seed + 4, data), normals(seed + 5, data).exp()
    )


SIZES = st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 5), st.booleans()


@given(*SIZES)
def test_evidence_and_posterior_by_bayes_rule(seed, latents, data, full):
    """log p(x) = log p(z) + log p(x | z) - log p(z | x) at any z, by torch's densities; and its marginal."""
    model, x, z = a_model(seed, latents, data, full), normals(seed + 6, 4, data), normals(seed + 7, 4, latents)
    evidence, after = log_evidence(model, x), posterior(model, x).to_torch()
    likelihood = distributions.Normal(z @ model.weight.T + model.bias, model.scale).log_prob(x).sum(-1)
    by_bayes = model.prior.to_torch().log_prob(z) + likelihood - after.log_prob(z)
    size = 1 + evidence.abs().max().item() + likelihood.abs().max().item()
    torch.testing.assert_close(evidence, by_bayes, rtol=0, atol=1e-8 * size)


@pytest.mark.parametrize("full_q", [False, True])
@pytest.mark.parametrize("full_p", [False, True])
def test_the_elbo_and_its_gradient_by_quadrature(full_q, full_p):
    x, fixed = normals(1, 2, 3), a_model(20, full=full_p)
    loc, spread = normals(2, 2, 2), root(3, 2) if full_q else normals(3, 2).exp()
    params = {
        "q": {"loc": loc, "spread": spread},
        "p": {"weight": fixed.weight, "bias": fixed.bias, "scale": fixed.scale},
    }

    def q(params):
        spread = params["q"]["spread"]
        if full_q:  # what is above the diagonal is no parameter
            return MultivariateNormal(params["q"]["loc"], spread.tril().expand(2, 2, 2))
        return Normal(params["q"]["loc"], spread)

    def model(params):
        return LinearGaussian(fixed.prior, *params["p"].values())

    def f(params, z):
        return Normal(z @ params["p"]["weight"].T + params["p"]["bias"], params["p"]["scale"]).log_prob(x)

    found = closed_form.exact(lambda params: elbo(model(params), q(params), x), params)
    other = by_quadrature(Problem(q, f, lambda params: fixed.prior, 1.0), params)
    assert gap(found.value, other.value) <= found.error.value + other.error.value
    assert gap(found.grads, other.grads) <= found.error.grads + other.error.grads
    assert max(other.error) < 1e-9
    assert found.method == "closed form"

    wrong = closed_form.exact(lambda params: elbo(model(params)._replace(scale=fixed.scale**2), q(params), x), params)
    assert gap(wrong.value, other.value) > 1e-2  # negative: a variance for a standard deviation


@given(*SIZES)
def test_at_the_posterior_the_elbo_is_the_evidence_and_elsewhere_below_it(seed, latents, data, full):
    model, x = a_model(seed, latents, data, full), normals(seed + 6, 4, data)
    best, evidence = posterior(model, x), log_evidence(model, x)
    size = 1 + evidence.abs().max().item()
    torch.testing.assert_close(elbo(model, best, x), evidence, rtol=0, atol=1e-8 * size)
    moved = best._replace(scale_tril=1.2 * best.scale_tril)
    gap_of = latents * (1.2**2 / 2 - 0.5 - math.log(1.2))  # KL(N(0, 1.44) || N(0, 1)) in each dimension
    torch.testing.assert_close(
        evidence - elbo(model, moved, x), torch.full((4,), gap_of).double(), rtol=0, atol=1e-8 * size
    )


@pytest.mark.parametrize("samples", [2, 64])
def test_every_bound_at_the_posterior_is_the_evidence(samples):
    model, x = a_model(7, full=True), normals(8, 5, 3)
    best = posterior(model, x)
    problem = Problem(
        q=lambda params: best._replace(loc=best.loc + params["q"]["shift"]),
        f=lambda params, z: Normal(z @ model.weight.T + model.bias, model.scale).log_prob(x),
        p=lambda params: model.prior,
        beta=1.0,
    )
    rest, aside = (
        importance.bound(problem, {"q": {"shift": torch.full((2,), by, dtype=torch.float64)}}, samples, order=30)
        for by in (0.0, 0.2)
    )
    assert gap(rest.value, log_evidence(model, x)) < 1e-10
    assert float((log_evidence(model, x) - aside.value).min()) > 1e-6
    assert quadrature.MOST == 3


def test_probabilistic_pca_is_the_maximum_of_the_likelihood():
    """Tipping & Bishop's value, a gradient of zero, and less likelihood around it."""
    x, k = normals(5, 40, 4) @ root(6, 4).T, 2
    model = probabilistic_pca(x, k)
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = values[k:].mean()
    d = x.shape[1]
    total = -len(x) / 2 * (d * math.log(2 * math.pi) + values[:k].log().sum() + (d - k) * noise.log() + d)
    torch.testing.assert_close(log_evidence(model, x).sum(), total, rtol=1e-12, atol=0)
    params = {"weight": model.weight, "bias": model.bias, "scale": model.scale}

    def likelihood(params):
        return log_evidence(LinearGaussian(model.prior, *params.values()), x)

    found = closed_form.exact(likelihood, params)
    assert largest(found.grads[name].abs().max() for name in ("weight", "bias")) < 1e-10
    assert abs(float(found.grads["scale"].sum())) < 1e-9  # of one scale for all dimensions
    aside = tree.map(lambda leaf: leaf + 0.01 * normals(9, *leaf.shape), params | {"scale": model.scale.new_zeros(4)})
    assert likelihood(aside | {"scale": model.scale}).sum() < total


def test_a_given_variance_collapses_what_lies_below_it():
    x = normals(5, 60, 4) * torch.tensor([3.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    model = probabilistic_pca(x, 3, float((values[1] + values[2]) / 2))
    assert torch.equal(model.weight.abs().amax(0) > 0, torch.tensor([True, True, False]))
    after = posterior(model, x[:1])
    assert float(after.loc[0, 2]) == pytest.approx(0, abs=1e-14)
    assert float(after.scale_tril[0, 2, 2]) == pytest.approx(1, abs=1e-12)


def test_data_without_variance_beyond_the_latents_are_refused():
    with pytest.raises(UserError, match="set fewer latents"):
        probabilistic_pca(normals(0, 9, 1) @ normals(1, 1, 4), 1)
