import numpy as np
import pytest
import torch

from tests.run.trained import small_run, write_images
from vae_fn import random
from vae_fn.run import codes, subject, tensorboard
from vae_fn.run.folder import RunError, read_config
from vae_fn.run.subject import load_subject

LABELS = np.repeat(np.arange(5), 60)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subject")
    write_images(folder / "images.npz", labels=LABELS)
    return small_run(folder, data=str(folder / "images.npz"), latents=3)


def load(run, key=0):
    return load_subject(run, read_config(run), "newest", key)


def by_hand(found):
    """The posteriors of the test images, with nothing but the encoder."""
    x = found.test.images.float() / 255
    return found.trained.vae.posterior(found.trained.params, x, None)


def test_means_and_kl_are_those_of_the_test_images(run):
    found, q = load(run), by_hand(load(run))
    assert found.means.shape == (50, 3)
    np.testing.assert_allclose(found.means, q.loc, rtol=1e-5, atol=1e-6)
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(q.loc, q.scale), torch.distributions.Normal(0, 1))
    np.testing.assert_allclose(found.kl, kl.mean(0), rtol=1e-5)
    assert found.classes is not None
    assert np.array_equal(found.classes, found.test.labels)


def check_draws(found, draws):
    """They are the posteriors' own: what is left of them is the noise of the key."""
    q = by_hand(found)
    noise = (draws - q.loc.numpy()) / q.scale.numpy()
    key = random.fold_in(random.streams(random.key(0)).figures, subject.DRAWS)
    np.testing.assert_allclose(noise, random.draw(key, q.noise_like()), rtol=1e-3, atol=1e-4)


def test_draws_are_from_the_posteriors_and_no_means(run):
    found = load(run)
    check_draws(found, found.draws)
    for mutant in (found.means, 2 * found.draws - found.means, load(run, key=1).draws):
        with pytest.raises(AssertionError):
            check_draws(found, mutant)


def test_keys_are_used_once():
    numbers = [
        *(tensorboard.PRIOR, tensorboard.POSTERIOR, tensorboard.TARGETS),
        *(codes.SAMPLE, codes.RECONSTRUCT, codes.ENCODE),
        *(subject.TARGETS, subject.DRAWS, subject.ORDER),
    ]
    assert len(set(numbers)) == len(numbers)


def test_the_order_is_of_all_images_and_mixes_the_classes(run):
    found = load(run)
    assert sorted(found.shuffled) == list(range(50))
    first = found.classes[found.shuffled][:25]
    assert len(set(first)) > len(set(found.classes[:25]))  # the images of the file are sorted by class


@pytest.mark.parametrize(("classes", "coloured"), [(50, True), (51, False)])
def test_only_classes_that_can_be_told_apart_are_coloured(run, classes, coloured):
    found = load(run)
    labels = torch.arange(51).clamp(max=classes - 1)
    found = found._replace(test=found.test._replace(labels=labels))
    assert (found.coloured is not None) == coloured
    assert found._replace(test=found.test._replace(labels=None)).coloured is None


def test_the_plane_is_of_the_most_active_latents_in_their_order(run):
    found = load(run)
    assert found._replace(kl=np.array([0.1, 2.0, 0.0, 3.0])).plane == (1, 3)
    assert found._replace(kl=np.array([0.1, 2.0])).plane == (0, 1)


def test_decoding_keeps_the_shape_of_the_batch(run):
    found = load(run)
    z = np.random.default_rng(0).normal(size=(2, 4, 3))
    images = found.decoded(z)
    assert images.shape == (2, 4, 36)
    one = found.trained.vae.likelihood(found.trained.params, torch.tensor(z[1, 2], dtype=torch.float32), None)
    np.testing.assert_allclose(images[1, 2], torch.sigmoid(one.logits), rtol=1e-5, atol=1e-6)


def test_latents_that_are_not_finite_are_refused(run, monkeypatch):
    real = subject.load_trained

    def poisoned(*args):
        trained = real(*args)
        weights = {name: leaf * 1e30 for name, leaf in trained.params["encoder"].items()}
        return trained._replace(params=trained.params | {"encoder": weights})

    monkeypatch.setattr(subject, "load_trained", poisoned)
    with pytest.raises(RunError, match=r"gives latents that are not finite: choose another --checkpoint"):
        load(run)
