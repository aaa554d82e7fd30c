import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.problems import PIXELS, images, small_vae, streams
from vae_fn import data, models, random, tree
from vae_fn.distributions import Logistic, MultivariateNormal, kl, kl_by_dimension
from vae_fn.evaluation import evaluate_bound, evaluate_elbo
from vae_fn.models.objectives import elbo, elbo_sampled


def evaluate(vae, params, pixels, protocol=data.GREY, draws=3, chunk=500, key=0):
    return evaluate_elbo(vae, params, pixels, protocol, random.key(key), draws=draws, chunk=chunk)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 13), st.sampled_from(["grey", "dynamic", "fixed"]))
def test_every_example_weighs_the_same_however_the_data_are_cut(count, draws, chunk, protocol):
    vae, pixels = small_vae(), images(count)
    if protocol == "fixed":
        pixels = (pixels > 127).to(torch.uint8) * 255  # as its data are
    params = vae.init(streams().init)
    whole = evaluate(vae, params, pixels, data.binarisation(protocol), draws, chunk=count)
    cut = evaluate(vae, params, pixels, data.binarisation(protocol), draws, chunk=chunk)
    assert whole.protocol == protocol
    assert (whole.examples, whole.draws) == (count, draws)
    for name in ("elbo", "reconstruction", "kl"):
        assert math.isclose(getattr(whole, name), getattr(cut, name), rel_tol=1e-5)
    assert math.isclose(whole.elbo, whole.reconstruction - whole.kl, rel_tol=1e-12)


def test_the_mean_of_batch_means_is_not_what_is_reported():
    """Nine equal images and one other: a short last chunk must not weigh more than its one image."""
    vae = small_vae()
    params = tree.map(lambda leaf: 5 * leaf, vae.init(streams().init))
    pixels = torch.cat([torch.zeros(9, PIXELS), torch.full((1, PIXELS), 255.0)]).to(torch.uint8)
    zeros, one = (evaluate(vae, params, part, draws=2000) for part in (pixels[:9], pixels[9:]))
    whole = evaluate(vae, params, pixels, draws=2000, chunk=9)
    # Twelve standard errors of the noise, far below what the wrong weights would change.
    tolerance = 12 * (whole.se_noise + zeros.se_noise + one.se_noise)
    assert abs(whole.elbo - (0.9 * zeros.elbo + 0.1 * one.elbo)) < tolerance
    assert abs(whole.elbo - 0.5 * (zeros.elbo + one.elbo)) > tolerance


def test_it_is_the_objective_at_its_own_noise():
    vae, pixels = small_vae(), images(7)
    params = vae.init(streams().init)
    keys = random.split(random.split(random.key(0), 2)[0], 7)
    noise = random.draw(keys, random.Noise(random.normal, (3, 2))).movedim(1, 0)
    terms = elbo(vae, params, pixels.float() / 255, noise)
    result = evaluate(vae, params, pixels)
    assert math.isclose(result.elbo, terms.elbo.mean().item(), rel_tol=1e-6)
    assert math.isclose(result.kl, terms.kl.mean().item(), rel_tol=1e-6)


def test_it_repeats_and_the_standard_error_says_how_much_a_new_key_moves_it():
    vae, pixels = small_vae(), images(20)
    params = tree.map(lambda leaf: 3 * leaf, vae.init(streams().init))
    results = [evaluate(vae, params, pixels, key=key, draws=4) for key in range(200)]
    assert results[0] == evaluate(vae, params, pixels, key=0, draws=4)
    spread = torch.tensor([r.elbo for r in results]).std().item()
    stated = math.sqrt(sum(r.se_noise**2 for r in results) / len(results))
    # 200 keys give the spread to 5 % (one standard deviation); six of those are 30 %.
    assert 0.7 < spread / stated < 1.3
    assert evaluate(vae, params, pixels, draws=1).se_noise is None


def test_nothing_to_evaluate_is_an_error():
    vae = small_vae()
    params = vae.init(streams().init)
    with pytest.raises(ValueError, match="0 examples"):
        evaluate(vae, params, images(0))
    with pytest.raises(ValueError, match="0 draws"):
        evaluate(vae, params, images(2), draws=0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vae": None}, "vae must be a VAE, not None"),
        ({"params": (torch.zeros(2),)}, r"params must be a Mapping, not a tuple: .* state\.params"),
        ({"images": images(3).numpy()}, "images must be a tensor"),
        ({"images": images(3).float()}, "images: float pixels from 9 to .*: divide by 255"),
        ({"images": images(3)[:, :5]}, r"the data have shape \(5,\), and the model reads \(\*batch, 12\)"),
        ({"images": images(3), "binarisation": data.FIXED}, "images: grey pixels under the protocol fixed"),
        ({"binarisation": "grey"}, "binarisation must be a Binarisation, not 'grey'"),
        ({"key": 0}, "a key must be .* not 0"),
    ],
)
def test_what_cannot_be_evaluated(given, words, unchecked):
    vae = small_vae()
    parts = {"vae": vae, "params": vae.init(streams().init), "images": 255 * (images(3) > 127).to(torch.uint8)}
    parts |= {"binarisation": data.DYNAMIC, "key": random.key(0), **given}
    with pytest.raises((TypeError, ValueError), match=words):
        evaluate_elbo(**parts, draws=2)
    with pytest.raises((TypeError, ValueError), match=words):
        evaluate_bound(**parts, samples=2)


def test_draws_are_whole_numbers(unchecked):
    vae = small_vae()
    with pytest.raises(ValueError, match=r"draws=2\.0 is out of range"):
        evaluate(vae, vae.init(streams().init), images(2), draws=2.0)
    with pytest.raises(ValueError, match="chunk=0 is out of range"):
        evaluate(vae, vae.init(streams().init), images(2), chunk=0)


def test_numbers_of_numpy_are_the_numbers_that_they_are(unchecked):
    vae, pixels = small_vae(), 255 * (images(3) > 127).to(torch.uint8)
    params, two = vae.init(streams().init), np.int64(2)
    found = evaluate(vae, params, pixels, data.DYNAMIC, draws=two, chunk=two)
    assert repr(found) == repr(evaluate(vae, params, pixels, data.DYNAMIC, draws=2, chunk=2))
    bounds = [evaluate_bound(vae, params, pixels, data.DYNAMIC, random.key(0), samples=samples) for samples in (two, 2)]
    assert bounds[0] == bounds[1]


@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_terms_and_standard_error_are_those_of_the_draws(prior):
    """Draw by draw from the objective, with the KL in closed form and, under a logistic prior, sampled."""
    vae, pixels = small_vae(), images(6)
    if prior == "logistic":
        vae = vae._replace(prior=lambda params, context: Logistic(torch.zeros(2), torch.ones(2)))
    params = vae.init(streams().init)
    keys = random.split(random.split(random.key(0), 2)[0], 6)
    noise = random.draw(keys, random.Noise(random.normal, (2, 2))).movedim(1, 0)
    objective = elbo if prior == "normal" else elbo_sampled
    draws = [objective(vae, params, pixels.float() / 255, one) for one in noise.split(1)]
    elbos = torch.stack([terms.elbo for terms in draws]).double()
    result = evaluate(vae, params, pixels, draws=2)
    assert math.isclose(result.elbo, elbos.mean().item(), rel_tol=1e-6)
    assert math.isclose(result.kl, torch.stack([terms.kl for terms in draws]).mean().item(), rel_tol=1e-5)
    expected = math.sqrt(((elbos[0] - elbos[1]) ** 2 / 2).mean().item() / (2 * 6))
    assert math.isclose(result.se_noise, expected, rel_tol=1e-3)


def check_kl_by_dimension(evaluate, vae, params, pixels):
    """It is the mean of the objectives' KL of each dimension, and a split of the KL."""
    x = pixels.float() / 255
    expected = kl_by_dimension(vae.posterior(params, x, None), vae.prior(params, None)).double().mean(0)
    result = evaluate(vae, params, pixels)
    torch.testing.assert_close(torch.tensor(result.kl_by_dimension).double(), expected, rtol=1e-5, atol=0.0)
    assert math.isclose(sum(result.kl_by_dimension), result.kl, rel_tol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_kl_by_dimension(chunk):
    vae = small_vae(3)
    params = tree.map(lambda leaf: 3 * leaf, vae.init(streams().init))
    check_kl_by_dimension(functools.partial(evaluate, chunk=chunk), vae, params, images(7))


@pytest.mark.parametrize("mutant", [lambda kls: kls[::-1], lambda kls: [sum(kls) / len(kls)] * len(kls)])
def test_check_kl_by_dimension_rejects(mutant):
    def faulty(*args):
        result = evaluate(*args)
        return result._replace(kl_by_dimension=mutant(result.kl_by_dimension))

    vae = small_vae(3)
    params = tree.map(lambda leaf: 3 * leaf, vae.init(streams().init))
    with pytest.raises(AssertionError):
        check_kl_by_dimension(faulty, vae, params, images(7))


def test_a_full_covariance_ties_the_dimensions_together():
    encoder, decoder = models.mlp([PIXELS, 8, 5]), models.mlp([2, 8, PIXELS])
    vae = models.build(encoder, decoder, data_dim=PIXELS, latent_dim=2, posterior=models.heads.full_normal)
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    vae = vae._replace(prior=lambda params, context: prior)
    params, pixels = vae.init(streams().init), images(7)
    result = evaluate(vae, params, pixels)
    assert result.kl_by_dimension is None
    expected = kl(vae.posterior(params, pixels.float() / 255, None), prior).mean().item()
    assert math.isclose(result.kl, expected, rel_tol=1e-5)


def test_parameters_in_float64_and_bfloat16_are_evaluated():
    vae, pixels = small_vae(), images(6)
    params = vae.init(streams().init)
    single = evaluate(vae, params, pixels).elbo
    assert math.isclose(evaluate(vae, tree.map(torch.Tensor.double, params), pixels).elbo, single, rel_tol=1e-5)
    assert math.isclose(evaluate(vae, tree.map(torch.Tensor.bfloat16, params), pixels).elbo, single, rel_tol=0.05)
