"""Measure-valued gradients: means and variances in closed form, couplings, what they need of a cost."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.estimators import discrete
from tests.gradients.published import laws
from tests.gradients.references import assert_same, gradient
from tests.models.toys import bernoulli_vae, bits, learned_prior, normals, parameters, small_vae
from vae_fn import random, tree, verify
from vae_fn.distributions import Normal
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import enumeration, measure_valued
from vae_fn.gradients.oracles.moments import moments
from vae_fn.gradients.published import GaussianCosts
from vae_fn.verify.estimators.settings import Setting, estimate_of
from vae_fn.verify.problems import AVERAGES, bernoulli_decoder, bernoulli_latents, linear_gaussian

ELBO = AVERAGES["the ELBO"]
SEED = st.integers(0, 2**31)
ESTIMATOR = measure_valued()


@pytest.mark.parametrize(
    "known",
    [bernoulli_decoder(1, beta=0.7), bernoulli_decoder(1, closed_kl=True), linear_gaussian(1)],
    ids=lambda known: known.name,
)
def test_unbiased_with_a_normal_latent(known):
    specs = ESTIMATOR.noise_like(known.problem, known.params, 1)
    estimate = estimate_of(ESTIMATOR, Setting(known, 1))
    verify.exact(estimate, known.exact(1, ELBO), specs, order=18, name=known.name).check()


def test_unbiased_with_bits():
    settings = [Setting(bernoulli_latents(1), 3), Setting(bernoulli_latents(2, beta=0.7), 2)]
    verify.unbiased(ESTIMATOR, settings).check()


def pair_problem(closed=False):
    """Two latents whose cost is no sum over them, in a batch of two."""
    vae = learned_prior(small_vae(3, 2), 2)
    pose = elbo_problem if closed else elbo_sampled_problem
    return pose(vae, bits(1, 2, 3), beta=0.7), parameters(vae, 1)


@pytest.mark.parametrize("closed", [False, True])
def test_each_coordinate_is_moved_with_the_others_held(closed):
    """By hand, for K = 2 samples of two latents and two examples."""
    problem, params = pair_problem(closed)
    noise = random.draw(random.key(3), ESTIMATOR.noise_like(problem, params, 2), torch.float64)
    found = ESTIMATOR.estimate(problem, params, noise, ())
    q = problem.q(params)
    own = noise["maxwell"] * noise["uniform"]

    def objective(e):
        z = q.loc + q.scale * e
        log_p = 0 if closed else 0.7 * (problem.p(params).log_prob(z) - q.log_prob(z))
        return problem.f(params, z) + log_p

    def moved(i, other):
        e = own.clone()
        e[..., i] = other[..., i]
        return objective(e)

    by_loc, by_scale = torch.zeros_like(own), torch.zeros_like(own)
    for i in range(2):
        pair = moved(i, noise["rayleigh"]) - moved(i, -noise["rayleigh"])
        by_loc[..., i] = pair / (q.scale[..., i] * math.sqrt(2 * math.pi))
        by_scale[..., i] = (moved(i, noise["maxwell"]) - objective(own)) / q.scale[..., i]

    def surrogate(live):
        now = problem.q(live)
        z = q.loc + q.scale * own
        f = problem.f(live, z) + (0 if closed else 0.7 * problem.p(live).log_prob(z))
        exact = problem.exact(live, now).sum() if closed else 0
        return (f + (by_loc * now.loc + by_scale * now.scale).sum(-1)).mean(0).sum() + exact

    assert_same(found.grads, gradient(surrogate, params), 1e-11)
    exact = problem.exact(params, q) if closed else 0
    torch.testing.assert_close(found.value, objective(own).mean(0) + exact)
    assert ESTIMATOR.evaluations(q, 2) == (2 * (1 + 3 * 2), 2)


@given(seed=SEED, latents=st.integers(1, 4), samples=st.integers(1, 2))
@settings(max_examples=10)
def test_a_bit_that_is_alone_is_known_exactly(seed, latents, samples):
    """With one bit F(1) - F(0) has no variance; with more it is the expectation over each given the others."""
    vae = bernoulli_vae(3, latents, True)
    params = parameters(vae, seed)
    problem = elbo_sampled_problem(vae, bits(seed, 3), beta=0.7)
    noise = torch.special.ndtr(normals(seed, samples, latents))
    found = ESTIMATOR.estimate(problem, params, noise, ()).grads["encoder"]
    q = problem.q(params)
    z, p = q.sample(noise), torch.sigmoid(q.logits)

    def objective(z):
        return problem.f(params, z) + 0.7 * (problem.p(params).log_prob(z) - q.log_prob(z))

    slopes = torch.stack(
        [
            objective(torch.where(torch.arange(latents) == i, 1.0, z))
            - objective(torch.where(torch.arange(latents) == i, 0.0, z))
            for i in range(latents)
        ],
        -1,
    ).mean(0)
    expected = gradient(lambda live: (slopes * p * (1 - p) * problem.q(live).logits).sum(), params)["encoder"]
    assert_same({"encoder": found}, {"encoder": expected}, 1e-10)
    assert ESTIMATOR.evaluations(q, samples) == (samples * (1 + latents), samples)
    if latents == 1:
        exact = enumeration().estimate(problem, params, (), ()).grads["encoder"]
        assert_same({"encoder": found}, {"encoder": exact}, 1e-10)


# --- variances


def number(value):
    return torch.tensor([value], dtype=torch.float64)


def draws(posed, estimator=ESTIMATOR):
    return lambda noise: estimator.estimate(posed.problem, posed.params, noise, ()).grads


@pytest.mark.parametrize("k", [-3.0, 1.0, 2.0])
@pytest.mark.parametrize(("loc", "scale"), [(1.0, 1.0), (0.4, 1.7)])
def test_the_variance_of_the_quadratic_cost_is_the_law(k, loc, scale):
    posed = GaussianCosts("quadratic", k, loc, scale).make()
    law = laws.quadratic_variances(loc - k, scale)["measure-valued"]
    expected = {"q": {"loc": number(law.loc), "scale": number(law.scale)}}
    noise = ESTIMATOR.noise_like(posed.problem, posed.params, 1)
    verify.exact_variance(draws(posed), expected, noise, order=6, name=posed.name).check()


@pytest.mark.parametrize("k", [0.5, 1.6, 3.0])
def test_the_variance_of_the_cosine_is_the_law(k):
    """At loc = scale = 1: -2 sin(k) sin(k W) / sqrt(2 pi), whose square has mean 4 sin(k)**2 E sin(k W)**2 / (2 pi)."""
    posed = GaussianCosts("cosine", k).make()
    noise = {"rayleigh": random.Noise(random.rayleigh, (1, 1))}
    rest = {"maxwell": torch.ones(1, 1).double(), "uniform": torch.full((1, 1), 0.3).double()}
    found = moments(lambda some: draws(posed)({**some, **rest})["q"]["loc"], noise)
    x = torch.linspace(0, 12, 120001, dtype=torch.float64)
    square = torch.trapezoid(torch.sin(k * x) ** 2 * x * torch.exp(-(x**2) / 2), x)
    second = 4 * math.sin(k) ** 2 * square / (2 * math.pi)
    slope = -k * math.sin(k) * math.exp(-(k**2) / 2)
    assert found.mean.item() == pytest.approx(slope, abs=1e-11)
    assert found.variance.item() == pytest.approx(second.item() - slope**2, abs=1e-9)


def test_couplings_change_the_variance_alone():
    """Without them the quadratic cost's gradient has the same mean and more variance in scale."""
    posed = GaussianCosts("quadratic", 2.0).make()
    noise = ESTIMATOR.noise_like(posed.problem, posed.params, 1)
    coupled = moments(draws(posed), noise, order=6)

    def apart(noise):
        """N of its own noise instead of M U."""
        q = posed.problem.q(posed.params)
        one, other = (posed.problem.f(posed.params, q.sample(noise[name])) for name in ("maxwell", "normal"))
        return ((one - other) / q.scale).squeeze()

    free = {"maxwell": noise["maxwell"], "normal": random.Noise(random.normal, (1, 1))}
    uncoupled = moments(apart, free, order=6)
    assert uncoupled.mean.item() == pytest.approx(coupled.mean["q"]["scale"].item(), rel=1e-10)
    assert uncoupled.variance > 1.5 * coupled.variance["q"]["scale"]


# --- what it takes


def test_costs_need_no_derivative():
    """The mean of a step has a gradient in loc: the pair differs where the Rayleigh number is beyond it."""
    loc, scale, step = 0.2, 0.7, 0.5
    problem = Problem(
        q=lambda params: Normal(params["q"]["loc"], params["q"]["scale"]),
        f=lambda params, z: (z > step).double().sum(-1),
    )
    params = {"q": {"loc": number(loc), "scale": number(scale)}}
    threshold, height = (step - loc) / scale, 1 / (scale * math.sqrt(2 * math.pi))

    def by_loc(rayleigh):
        noise = {"rayleigh": number(rayleigh)[None], "maxwell": number(1.0)[None], "uniform": number(0.5)[None]}
        return ESTIMATOR.estimate(problem, params, noise, ()).grads["q"]["loc"].item()

    assert by_loc(threshold + 1e-9) == pytest.approx(height)
    assert by_loc(threshold - 1e-9) == 0


@pytest.mark.parametrize("kind", ["classes", "layers"])
def test_other_latents_are_refused(kind):
    vae = discrete.VAES[kind]
    problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
    with pytest.raises(ValueError, match=r"Normal and Bernoulli in one layer.*use rloo"):
        ESTIMATOR.noise_like(problem, params, 1)
    noise = tree.map(lambda spec: torch.zeros(spec.shape).double(), problem.q(params).noise_like((1,)))
    with pytest.raises(ValueError, match="use rloo"):
        ESTIMATOR.estimate(problem, params, noise, ())
