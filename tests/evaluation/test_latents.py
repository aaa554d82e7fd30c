import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.problems import PIXELS, images, small_vae, streams
from vae_fn import data, random, tree
from vae_fn.data import Split
from vae_fn.distributions import MultivariateNormal, Normal
from vae_fn.evaluation import latents
from vae_fn.evaluation.latents import decode, encode, encode_pixels, spread, targets
from vae_fn.models import build, heads, mlp


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Seven images make several chunks, of which the last is short."""
    monkeypatch.setattr(latents, "CHUNK", 3)


def model():
    vae = small_vae()
    return vae, tree.map(lambda leaf: 3 * leaf, vae.init(streams().init))


def check_posterior(vae, params, x, found):
    expected = vae.posterior(params, x, None)
    assert type(found) is type(expected)
    for name, leaf in expected._asdict().items():
        torch.testing.assert_close(getattr(found, name), leaf, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_encoding_in_chunks_is_encoding_at_once(count):
    vae, params = model()
    x = images(count).float() / 255
    check_posterior(vae, params, x, encode(vae, params, x))


def test_a_shuffled_encoding_is_rejected():
    vae, params = model()
    x = images(7).float() / 255
    with pytest.raises(AssertionError):
        check_posterior(vae, params, x, encode(vae, params, x.flip(0)))


def test_decoding_gives_the_means_of_the_likelihood():
    vae, params = model()
    z = random.normal(random.key(0), (7, 2))
    expected = torch.sigmoid(vae.likelihood(params, z, None).logits)
    torch.testing.assert_close(decode(vae, params, z), expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_recorded_for_gradients():
    vae, params = model()
    params = tree.map(lambda leaf: leaf.requires_grad_(), params)
    assert not decode(vae, params, encode(vae, params, images(4).float()).mean).requires_grad


def test_a_full_covariance_keeps_its_family():
    vae = build(mlp([PIXELS, 8, 5]), mlp([2, 8, PIXELS]), data_dim=PIXELS, latent_dim=2, posterior=heads.full_normal)
    params, x = vae.init(streams().init), images(7).float() / 255
    found = encode(vae, params, x)
    assert isinstance(found, MultivariateNormal)
    check_posterior(vae, params, x, found)


@pytest.mark.parametrize("count", [2, 7])
def test_a_scale_that_all_images_share_is_given_to_each(count):
    """With two images the batch is as long as the latent is wide: a shape alone does not tell them apart."""
    vae, params = model()
    shared = vae._replace(posterior=lambda params, x, context: Normal(vae.posterior(params, x, None).loc, SCALE))
    found = encode(shared, params, images(count).float() / 255)
    assert torch.equal(found.scale, SCALE.expand(count, 2))


SCALE = torch.tensor([0.5, 2.0])


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["grey", "dynamic", "fixed"]))
def test_the_targets_of_an_image_depend_on_its_place_alone(count, more, protocol):
    protocol, pixels = data.binarisation(protocol), images(count + more)
    whole = targets(pixels, protocol, random.key(0))
    assert torch.equal(whole[:count], targets(pixels[:count], protocol, random.key(0)))


def test_the_targets_are_those_of_the_protocol():
    pixels = images(7)
    assert torch.equal(targets(pixels, data.GREY, random.key(0)), pixels.float() / 255)
    drawn = targets(pixels, data.DYNAMIC, random.key(0))
    assert torch.equal(drawn, drawn.round())
    assert not torch.equal(drawn, targets(pixels, data.DYNAMIC, random.key(1)))
    # 20,000 bits of probability 1/4: twelve standard deviations of their mean are 0.04.
    quarter = torch.full((2_000, 10), 0.25)
    assert abs(targets(quarter, data.DYNAMIC, random.key(0)).mean().item() - 0.25) < 0.04


def test_equal_images_are_binarised_apart():
    drawn = targets(torch.full((2, 64), 0.5), data.DYNAMIC, random.key(0))
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("protocol", ["grey", "dynamic", "fixed"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_pixels_are_encoded_as_their_targets_are(protocol, count):
    vae, params = model()
    pixels, protocol = images(count), data.binarisation(protocol)
    found = encode_pixels(vae, params, pixels, protocol, random.key(5))
    expected = encode(vae, params, targets(pixels, protocol, random.key(5)))
    for name in found._fields:
        assert torch.equal(getattr(found, name), getattr(expected, name))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 25))
def test_spread_takes_the_first_of_every_class_in_turn(labels, count):
    places = spread(Split(images(len(labels)), torch.tensor(labels)), count).tolist()
    waiting = {label: [place for place, at in enumerate(labels) if at == label] for label in sorted(set(labels))}
    expected = []
    while any(waiting.values()):
        expected += [queue.pop(0) for queue in waiting.values() if queue]
    assert places == expected[:count]


def test_spread_without_classes_takes_the_first():
    assert spread(Split(images(4), None), 3).tolist() == [0, 1, 2]
    assert spread(Split(images(4), None), 9).tolist() == [0, 1, 2, 3]
