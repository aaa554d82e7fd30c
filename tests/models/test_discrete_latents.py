"""Models with bits and classes: their shapes and masses, and what estimators make of them, against all their values."""

from itertools import product

import pytest
import torch
from torch.func import grad_and_value
from torch.nn import functional as F

from tests.models.toys import bits
from vae_fn import models, random, tree
from vae_fn.distributions import kl
from vae_fn.gradients import Coefficients, elbo_problem, elbo_sampled_problem, from_coefficients
from vae_fn.gradients.estimators import rloo, vimco
from vae_fn.models import heads, objectives, priors

PIXELS, SAMPLES = 3, 2
MODELS = {
    "bernoulli": lambda: models.bernoulli_latents(2, (4,), PIXELS),
    "two layers": lambda: models.layered_bernoulli_latents((2, 1), (4,), PIXELS),
    "three layers": lambda: models.layered_bernoulli_latents((1, 1, 1), (), PIXELS),
    "categorical": lambda: models.categorical_latents(1, 3, (), PIXELS),
    "uniform prior": lambda: models.categorical_latents(1, 3, (), PIXELS, prior=priors.uniform),
}
every_model = pytest.mark.parametrize("name", MODELS)
VAES = {name: make() for name, make in MODELS.items()}


def parameters(name: str):
    """Float64, and a prior's logits that are not those of its beginning."""
    params = tree.map(torch.Tensor.double, VAES[name].init(random.key(0)))
    return tree.map(lambda leaf: leaf + 0.3 * torch.sin(torch.arange(leaf.numel()).reshape(leaf.shape) + 1.0), params)


def exactly(name: str, params, x, samples: int):
    """The values of K independent codes as (n ** K) rows, with their masses: `z`, `(n**K, K, *event)` per layer."""
    q = VAES[name].posterior(params, x, None)
    values = q.states()
    layers = values if isinstance(values, tuple) else (values,)
    chosen = torch.tensor(list(product(range(len(layers[0])), repeat=samples)))
    picked = tuple(each[chosen] for each in layers)
    z = picked if isinstance(values, tuple) else picked[0]
    return z, q.log_prob(z).sum(1).exp()


def bound(name: str, params, x, average):
    """E[average of K log-weights], summed over all values of K codes."""
    vae = VAES[name]
    z, masses = exactly(name, params, x, SAMPLES)
    q, p = vae.posterior(params, x, None), vae.prior(params, None)
    log_weights = vae.likelihood(params, z, None).log_prob(x) + p.log_prob(z) - q.log_prob(z)
    return (masses * average(log_weights.movedim(1, 0))).sum()


def noise_of(name: str, z):
    """Noise at which the model draws z: near the ends for bits, a large Gumbel for the class."""
    return tree.map(lambda each: 40 * each if name in ("categorical", "uniform prior") else 1e-6 + (1 - 2e-6) * each, z)


def mean_gradient(estimator, pose, name: str, params, x):
    """The estimator's mean value and gradient over all values of its K codes."""
    problem = pose(VAES[name], x)
    z, masses = exactly(name, params, x, SAMPLES)

    def at(noise):
        estimate = estimator.estimate(problem, params, noise, estimator.init(problem, params))
        return estimate.value, estimate.grads

    value, grads = torch.vmap(at)(noise_of(name, z))
    return (masses * value).sum(), tree.map(lambda leaf: torch.tensordot(masses, leaf, 1), grads)


def check_unbiased(estimator, pose, average, name: str):
    params, x = parameters(name), bits(3, PIXELS)
    expected, expected_value = grad_and_value(lambda params: bound(name, params, x, average))(params)
    value, grads = mean_gradient(estimator, pose, name, params, x)
    torch.testing.assert_close(value, expected_value, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(grads, expected, rtol=1e-9, atol=1e-10)


@every_model
def test_the_leave_one_out_score_is_the_gradient_of_the_elbo(name):
    check_unbiased(rloo(), elbo_sampled_problem, lambda w: w.mean(0), name)
    if "layers" not in name:
        check_unbiased(rloo(), elbo_problem, lambda w: w.mean(0), name)


@every_model
def test_vimco_is_the_gradient_of_the_bound(name):
    check_unbiased(vimco(), elbo_sampled_problem, objectives.log_mean_exp, name)


def shared_baseline(log_weights, beta):
    """Each sample's own weight is in its baseline: the score's part is too small by 1 - 1/K."""
    share = torch.full_like(log_weights, 1 / log_weights.shape[0])
    centred = (log_weights - log_weights.mean(0)) / log_weights.shape[0]
    return Coefficients(log_weights.mean(0), share, torch.zeros_like(share), centred - beta * share)


@pytest.mark.parametrize("name", ["bernoulli", "two layers", "categorical"])
def test_a_baseline_that_knows_its_sample_is_found_out(name):
    wrong = from_coefficients("wrong", shared_baseline, unbiased_for="the ELBO", latents="any")
    with pytest.raises(AssertionError, match="not close"):
        check_unbiased(wrong, elbo_sampled_problem, lambda w: w.mean(0), name)


@every_model
def test_the_elbo_is_below_the_likelihood_by_the_divergence_from_the_posterior(name):
    vae, params, x = VAES[name], parameters(name), bits(3, PIXELS)
    z = vae.posterior(params, x, None).states()
    log_joint = vae.likelihood(params, z, None).log_prob(x) + vae.prior(params, None).log_prob(z)
    log_q, evidence = vae.posterior(params, x, None).log_prob(z), torch.logsumexp(log_joint, 0)
    gap = (log_q.exp() * (log_q - log_joint + evidence)).sum()
    torch.testing.assert_close(evidence - bound(name, params, x, lambda w: w.mean(0)), gap)
    images = torch.tensor(list(product((0.0, 1.0), repeat=PIXELS)), dtype=torch.float64)
    every = vae.likelihood(params, tree.map(lambda each: each.unsqueeze(1), z), None).log_prob(images)
    masses = torch.logsumexp(every + vae.prior(params, None).log_prob(z).unsqueeze(1), 0).exp()
    torch.testing.assert_close(masses.sum(), torch.ones((), dtype=torch.float64))


@every_model
def test_shapes_and_groups(name):
    vae = VAES[name]
    params = vae.init(random.key(0))
    assert set(params) == {"encoder", "decoder"} | ({"prior"} if name != "uniform prior" else set())
    for batch in ((), (4,), (2, 3)):
        q = vae.posterior(params, bits(0, *batch, PIXELS).float(), None)
        noise = random.draw(random.key(1), q.noise_like((5,)))
        assert vae.likelihood(params, q.sample(noise), None).logits.shape == (5, *batch, PIXELS)
        assert vae.prior(params, None).log_prob(q.sample(noise)).shape == (5, *batch)


def test_a_learned_prior_starts_uniform_and_a_uniform_one_stays():
    head = heads.categorical(4)
    learned, uniform = priors.learned(head)(2), priors.uniform(head)(2)
    raw = learned.init(random.key(0))
    expected = torch.full((2, 4), 0.25)
    assert torch.equal(learned.apply(raw, torch.zeros(1)).mean, expected)
    assert torch.equal(uniform.apply({}, torch.zeros(1)).mean, expected)
    assert uniform.init(random.key(0)) == {}
    moved = learned.apply({"raw": raw["raw"] + torch.arange(8.0)}, torch.zeros(1)).mean
    torch.testing.assert_close(moved, F.softmax(torch.arange(8.0).reshape(2, 4), -1))


def test_bits_enter_networks_as_signs_and_pixels_about_zero():
    vae, params = VAES["bernoulli"], parameters("bernoulli")
    x, z = bits(0, PIXELS), torch.tensor([1.0, 0.0], dtype=torch.float64)
    weights = params["encoder"], params["decoder"]
    for own, entered, raw in zip(
        weights, (x - 0.5, 2 * z - 1), (vae.posterior(params, x, None), vae.likelihood(params, z, None)), strict=True
    ):
        hidden = torch.tanh(entered @ own["0.weight"].T + own["0.bias"])
        torch.testing.assert_close(raw.logits, hidden @ own["2.weight"].T + own["2.bias"])


def test_the_divergence_of_one_layer_is_closed():
    vae, params, x = VAES["categorical"], parameters("categorical"), bits(0, PIXELS)
    q, p = vae.posterior(params, x, None), vae.prior(params, None)
    z = q.states()
    torch.testing.assert_close(kl(q, p), (q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).sum())


def test_one_layer_by_its_units(unchecked):
    with pytest.raises(ValueError, match="two or more, not 1: use bernoulli_latents"):
        models.layered_bernoulli_latents(200)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.bernoulli_latents(0), "at least 1 unit, not 0"),
        (lambda: models.layered_bernoulli_latents((3, 0)), "at least 1 unit, not 0"),
        (lambda: models.layered_bernoulli_latents((3,)), "two or more, not 1: use bernoulli_latents"),
        (lambda: models.categorical_latents(0), "at least 1 variable, not 0"),
        (lambda: models.categorical_latents(3, 1), "1 classes says nothing: give at least 2"),
    ],
)
def test_impossible_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()
