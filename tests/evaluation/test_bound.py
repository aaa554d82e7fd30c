"""The K-sample bound of a data set, held to the objective's and to the exact likelihood."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.toys import linear_gaussian
from tests.training.problems import PIXELS, images, small_vae, streams
from vae_fn import data, models, random, tree
from vae_fn.evaluation import bound, evaluate_bound
from vae_fn.models.objectives import iwae


def evaluate(vae, params, pixels, samples, protocol=data.DYNAMIC, key=0):
    return evaluate_bound(vae, params, pixels, protocol, random.key(key), samples=samples)


def bits(count):
    return (images(count) > 127).to(torch.uint8) * 255


def by_hand(vae, params, pixels, samples):
    """The mean over examples of the objective at each one's own noise; the pixels are black and white."""
    keys = random.split(random.split(random.key(0), 2)[0], len(pixels))
    bounds = []
    for key, x in zip(keys, pixels.float() / 255, strict=True):
        noise = random.draw(key, vae.posterior(params, x, None).noise_like((samples,)))
        bounds.append(iwae(vae, params, x, noise).objective.item())
    return sum(bounds) / len(bounds)


@given(st.integers(1, 7), st.integers(1, 5), st.integers(1, 30))
def test_it_is_the_objective_of_each_example_however_the_data_are_cut(count, samples, at_a_time):
    vae, pixels = small_vae(), bits(count)
    params = vae.init(streams().init)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound, "SAMPLES", at_a_time)
        found = evaluate(vae, params, pixels, samples)
    assert math.isclose(found, by_hand(vae, params, pixels, samples), rel_tol=1e-5)


def test_with_many_samples_it_is_the_likelihood():
    """Of six bits, summed over all 64 codes; the ELBO is nats below it."""
    vae = models.bernoulli_latents(6, (), PIXELS)
    params = tree.map(lambda leaf: 3 * leaf, vae.init(random.key(1)))
    pixels, codes = bits(5), torch.cartesian_prod(*[torch.arange(2.0)] * 6)
    joint = vae.prior(params, None).log_prob(codes)[:, None] + vae.likelihood(
        params, codes[:, None].expand(-1, 5, -1), None
    ).log_prob(pixels.float() / 255)
    exact = torch.logsumexp(joint, 0).mean().item()
    assert abs(evaluate(vae, params, pixels, 20_000) - exact) < 0.02
    assert evaluate(vae, params, pixels, 1) < exact - 1


def test_of_continuous_data_it_is_the_likelihood_of_their_density():
    """At the exact posterior of a linear Gaussian model, with any number of samples."""
    vae, params, x, log_evidence = linear_gaussian(0, data=4, latents=2, batch=5)
    narrow = tree.map(torch.Tensor.float, params)
    for samples in (1, 3):
        found = evaluate(vae, narrow, x.float(), samples, data.GREY)
        assert math.isclose(found, log_evidence.mean(), rel_tol=1e-5)  # float32


def test_what_means_nothing_is_refused():
    vae = small_vae()
    params = vae.init(streams().init)
    for count, samples in ((0, 3), (2, 0)):
        with pytest.raises(ValueError, match="needs examples and samples"):
            evaluate(vae, params, images(count), samples)
    with pytest.raises(ValueError, match=r"the bound weighs samples .* grey pixels under a Bernoulli"):
        evaluate(vae, params, images(2), 3, data.GREY)
