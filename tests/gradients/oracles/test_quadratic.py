"""Quadratic forms of normal noise: against quadrature, other reductions of the same integral, closed forms, limits."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import torch

from tests.gradients.oracles.cases import gap, step_along
from tests.models import toys
from vae_fn import tree
from vae_fn.distributions import Laplace, MultivariateNormal, Normal
from vae_fn.gradients import Problem
from vae_fn.gradients.oracles import closed_form, forms, importance, mellin, quadratic, quadrature, wake
from vae_fn.gradients.oracles.auto import exact
from vae_fn.gradients.oracles.closed_form import LinearGaussian
from vae_fn.gradients.oracles.exact import refined
from vae_fn.gradients.oracles.weighing import integrate
from vae_fn.gradients.published import LinearVAE, Rainforth
from vae_fn.verify.problems import at_posterior, bernoulli_decoder, linear_gaussian

BOUND = "the K-sample bound"


def bound(problem, params, samples):
    """By the form, whatever the number of latents."""
    support = quadratic.support(problem.q(params))
    return refined(
        (integrate(problem, params, support, support.log_mean(samples, level)) for level in (0, 1)), "integral"
    )


def test_the_gamma_function():
    s = torch.complex(
        *torch.meshgrid(
            torch.tensor([-0.6, -0.05, 0.02, 0.5]).double(), torch.linspace(-26, 26, 53).double(), indexing="ij"
        )
    )
    expected = scipy.special.gamma(s.numpy())
    np.testing.assert_allclose(mellin.gamma(s.flatten()).reshape(s.shape).numpy(), expected, rtol=3e-13)


@pytest.mark.parametrize("latents", [1, 2])
@pytest.mark.parametrize("samples", [1, 2, 64, 1000])
def test_bounds_by_quadrature(latents, samples):
    known = linear_gaussian(latents)
    found, other = (
        bound(known.problem, known.params, samples),
        importance.bound(known.problem, known.params, samples, {1: 180, 2: 121}[latents]),
    )
    assert gap(found.value, other.value) <= found.error.value + other.error.value < 1e-6
    assert gap(found.grads, other.grads) <= found.error.grads + other.error.grads < 1e-6


def test_a_form_is_taken_where_there_is_one():
    """Also of few latents, where quadrature is worse; not if an order is asked for, nor where it does not reach."""
    known = linear_gaussian(3)
    chosen, asked = (exact(known.problem, known.params, BOUND, 64, order) for order in (None, 18))
    assert gap(chosen.value, bound(known.problem, known.params, 64).value) == 0
    assert chosen.error.value < 1e-6 < 1e-3 < asked.error.value
    far = Rainforth(dim=1, count=2, variance=400.0).make()
    assert not quadratic.fits(far.problem, far.params)
    assert exact(far.problem, far.params, BOUND, 2).error.value > 1e-9
    assert not quadratic.fits(bernoulli_decoder(1).problem, bernoulli_decoder(1).params)
    q = Laplace(torch.zeros(1).double(), torch.ones(1).double())
    assert not quadratic.fits(Problem(lambda params: q, lambda params, z: z.sum(-1)), {"q": {"loc": q.loc}})


@pytest.mark.parametrize("latents", [1, 2, 3])
def test_the_elbo_by_quadrature(latents):
    known = linear_gaussian(latents)
    found, other = quadratic.elbo(known.problem, known.params), quadrature.elbo(known.problem, known.params)
    assert gap(found.value, other.value) <= found.error.value < 1e-9
    assert gap(found.grads, other.grads) <= found.error.grads < 1e-9


def by_symmetry(x, params, variance, samples):
    """Rainforth's bound: log w depends on the noise along one direction, and on a chi-square of all others."""
    mu, weight, bias = params["prior"]["loc"], params["encoder"]["weight"], params["encoder"]["bias"]
    m, d, s = weight @ x + bias, len(x), variance**0.5
    slope = s * torch.linalg.vector_norm(x + mu - 2 * m)
    curvature = 2 * variance - 1
    constant = 0.5 * (
        -d * math.log(2 * math.pi) + d * math.log(variance) - (x - m).square().sum() - (m - mu).square().sum()
    )
    e = torch.linspace(-9, 9, 900, dtype=torch.float64)
    p = torch.softmax(-0.5 * e**2, 0)
    halves, q = scipy.special.roots_genlaguerre(40, (d - 1) / 2 - 1)
    halves, q = torch.from_numpy(halves), torch.from_numpy(q / q.sum())
    log_w = constant + slope * e.unsqueeze(1) - 0.5 * curvature * (e.square().unsqueeze(1) + 2 * halves)
    log_w, weights = log_w.flatten(), (p.unsqueeze(1) * q).flatten()
    log_w, weights = (part[weights > 1e-22].unsqueeze(-1) for part in (log_w, weights))
    return importance.log_mean(
        log_w, weights, samples, importance.grid_of(log_w, weights, samples, 1 / 5, 1e-15)
    ).value[0]


@pytest.mark.parametrize(("perturbation", "samples"), [(0.01, 1), (0.01, 10), (0.01, 1000), (0.3, 10)])
def test_twenty_latents_by_symmetry(perturbation, samples):
    posed = Rainforth(perturbation=perturbation, count=2).make()
    found = exact(posed.problem, posed.params, BOUND, samples)
    expected = torch.stack([by_symmetry(x, posed.params, 2 / 3, samples) for x in posed.data])
    assert gap(found.value, expected) <= found.error.value + 1e-11
    assert found.error.value < 1e-7
    wrong = torch.stack([by_symmetry(x, posed.params, (2 / 3) ** 2, samples) for x in posed.data])
    assert gap(found.value, wrong) > 1e-4  # negative: a standard deviation of 2/3


@pytest.mark.parametrize("target", ["the ELBO", BOUND])
def test_gradients_of_twenty_latents_are_those_of_the_values(target):
    """All eigenvalues of the form are one: derivatives of an eigenbasis do not exist there."""
    posed = Rainforth(perturbation=0.1, count=2).make()
    slope, difference = step_along(lambda params: exact(posed.problem, params, target, 5), posed.params)
    assert slope == pytest.approx(difference, rel=1e-7)


def model_of(params):
    """The linear VAE as a linear-Gaussian model."""
    decoder = params["decoder"]
    latents = decoder["weight"].shape[1]
    prior = Normal(torch.zeros(latents).double(), torch.ones(latents).double())
    scale = decoder["log_scale"].exp().expand(len(decoder["bias"]))
    return LinearGaussian(prior, decoder["weight"], decoder["bias"], scale)


def test_the_elbo_of_five_latents_in_closed_form():
    posed = LinearVAE(5, count=20, perturbation=0.2).make()
    found = exact(posed.problem, posed.params)
    q = posed.problem.q
    other = closed_form.exact(lambda params: closed_form.elbo(model_of(params), q(params), posed.data), posed.params)
    assert found.method == "quadratic form"
    assert gap(found.value, other.value) <= found.error.value + other.error.value < 1e-9
    assert gap(found.grads, other.grads) <= found.error.grads + other.error.grads < 1e-8


@pytest.mark.parametrize("samples", [1, 3, 500])
def test_at_the_posterior_every_bound_is_the_evidence(samples):
    posed = LinearVAE(5, count=20, perturbation=0.0).make()
    found = exact(posed.problem, posed.params, BOUND, samples)
    assert gap(found.value, closed_form.log_evidence(model_of(posed.params), posed.data)) <= found.error.value
    known = at_posterior(2)
    assert gap(bound(known.problem, known.params, samples).value, exact(known.problem, known.params).value) < 1e-9


def test_a_full_covariance_of_four_latents_between_elbo_and_evidence():
    model = LinearGaussian(
        Normal(torch.zeros(4).double(), torch.ones(4).double()),
        toys.normals(1, 5, 4),
        toys.normals(2, 5),
        1 + 0 * toys.normals(2, 5),
    )
    x = toys.normals(3, 6, 5)
    best = closed_form.posterior(model, x)
    params = {"q": {"loc": best.loc + 0.3, "root": 1.1 * best.scale_tril}}
    problem = Problem(
        q=lambda params: MultivariateNormal(params["q"]["loc"], params["q"]["root"].tril()),
        f=lambda params, z: Normal(z @ model.weight.T + model.bias, model.scale).log_prob(x),
        p=lambda params: model.prior,
        beta=1.0,
    )
    evidence = closed_form.log_evidence(model, x)
    values = [exact(problem, params).value, *(exact(problem, params, BOUND, k).value for k in (2, 20, 2000)), evidence]
    assert all((low < high - 1e-6).all() for low, high in itertools.pairwise(values))
    assert gap(values[3], evidence) < 0.01
    assert gap(wake.phase(problem, params, math.inf).value, evidence) < 1e-10
    slope, difference = step_along(lambda params: exact(problem, params, BOUND, 3), params)
    assert slope == pytest.approx(difference, rel=1e-5)


def test_the_wake_phase_of_twenty_latents():
    """The limit of the score in q's location is (posterior mean - location) / variance; it is approached as 1 / K."""
    posed = Rainforth(perturbation=0.02, count=1).make()
    x, encoder, mu = posed.data[0], posed.params["encoder"], posed.params["prior"]["loc"]
    score = ((x + mu) / 2 - encoder["weight"] @ x - encoder["bias"]) / (2 / 3)
    limit = wake.phase(posed.problem, posed.params, math.inf)
    assert gap(limit.grads["encoder"]["bias"], score) < 1e-10
    assert gap(limit.grads["encoder"]["weight"], torch.outer(score, x)) < 1e-10
    near, far = (gap(wake.phase(posed.problem, posed.params, k).grads, limit.grads) for k in (100_000, 10_000))
    assert far / near == pytest.approx(10, rel=0.05)


def test_a_batch_is_its_examples(monkeypatch):
    posed = Rainforth(dim=4, perturbation=0.2, count=6).make()
    x = posed.data.reshape(2, 3, 4)
    together = exact(posed.pose(x), posed.params, BOUND, 7)
    alone = [exact(posed.pose(row), posed.params, BOUND, 7) for row in posed.data]
    assert together.value.shape == (2, 3)
    assert gap(together.value.flatten(), torch.stack([each.value for each in alone])) <= 2 * together.error.value
    assert gap(together.grads, tree.add(*(each.grads for each in alone))) <= 12 * together.error.grads
    monkeypatch.setattr(quadratic, "ENTRIES", 1)
    assert gap(exact(posed.pose(x), posed.params, BOUND, 7).value, together.value) <= 2 * together.error.value


def test_the_error_bounds_the_error():
    """Against the finest of several levels."""
    known = linear_gaussian(2)
    support = quadratic.support(known.problem.q(known.params))
    values = [integrate(known.problem, known.params, support, support.log_mean(9, level)).value for level in range(4)]
    found = bound(known.problem, known.params, 9)
    assert gap(values[1], values[3]) <= found.error.value
    assert gap(values[0], values[3]) > 1e-13


def test_a_short_range_is_seen():
    """Negative: the range of u of another problem, whose weights are e^60 times as large."""
    form = forms.Form(*(torch.tensor(v, dtype=torch.float64) for v in ([0.0], [[1.0]], [[0.4]], [[[0.0]]])))
    heavy = form._replace(constant=form.constant + 60)

    def moments_of(form):
        return lambda s: forms.log_moment(form, form, s)

    at = mellin.contours(moments_of(form), (0.5, 0.5), 5, digits=37.0, step=0.25, cut=1e-14)
    right, wrong = (mellin.log_sum(moments_of(each), 5, at) for each in (form, heavy))
    assert abs(float(wrong - right) - 60) > 1e-6
    wide = mellin.contours(moments_of(heavy), (0.5, 0.5), 5, digits=37.0, step=0.25, cut=1e-14)
    assert float(mellin.log_sum(moments_of(heavy), 5, wide) - right) == pytest.approx(60, abs=1e-10)
