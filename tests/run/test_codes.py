from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.run.trained import small_run, write_images
from vae_fn import random, tree, verify
from vae_fn.data import DataError
from vae_fn.models import heads, mlp
from vae_fn.models.vae import build
from vae_fn.run.assemble import make_data, make_model
from vae_fn.run.checkpoints import checkpoints, newest, read_model, read_parameters
from vae_fn.run.codes import choose_checkpoint, codes, load_trained, prepared, reconstruct, sample, select
from vae_fn.run.folder import RunError, read_config

PROTOCOLS = ["grey", "dynamic", "fixed"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    write_images(folder / "images.npy")
    for protocol in PROTOCOLS:
        small_run(folder, name=protocol, binarise=protocol, held_out=20)
    return folder


def trained(folder, protocol="grey", key=0, checkpoint="newest"):
    run = folder / "runs" / protocol
    return load_trained(run, read_config(run), checkpoint, key)


def by_hand(folder, protocol):
    """The model of a run and the test images as its training had them."""
    run = folder / "runs" / protocol
    config = read_config(run)
    dataset, _ = make_data(config)
    vae = make_model(config, dataset.shape)
    return vae, read_parameters(newest(run), vae), dataset


def check_codes(folder, found):
    """Of all images in the order of the file, with nothing but the networks."""
    vae, params, _ = by_hand(folder, "grey")
    images = torch.from_numpy(np.load(folder / "images.npy")).flatten(1).float() / 255
    q = vae.posterior(params, images, None)
    torch.testing.assert_close(found["mean"], q.loc, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["scale"], q.scale, rtol=1e-5, atol=1e-6)


def test_codes_are_those_of_the_encoder_in_the_order_of_the_file(folder):
    model = trained(folder)
    found = codes(model, select(prepared(model, None), "all"))
    assert list(found) == ["mean", "scale"]
    assert found["mean"].std(0).max() > 1e-3  # images are told apart, or the order would not show
    check_codes(folder, found)
    with pytest.raises(AssertionError):
        check_codes(folder, {name: leaf.flip(0) for name, leaf in found.items()})


@pytest.mark.parametrize("protocol", ["grey", "fixed"])
def test_test_images_are_encoded_as_training_had_them(folder, protocol):
    model = trained(folder, protocol)
    found = codes(model, select(prepared(model, None), "test"))
    vae, params, dataset = by_hand(folder, protocol)
    expected = vae.posterior(params, dataset.test.images.float() / 255, None)
    torch.testing.assert_close(found["mean"], expected.loc, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_images_are_those_of_the_parts(folder, protocol):
    """Under every protocol an image is shown alike, whether its part is asked for or all."""
    model = trained(folder, protocol)
    data = prepared(model, None)
    rows = {name: set(map(bytes, select(data, name).images.numpy())) for name in ("train", "test", "all")}
    assert rows["all"] == rows["train"] | rows["test"]
    assert len(select(data, "all").images) == 300


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_key_draws_the_binarisation_under_dynamic_alone(folder, protocol):
    first, again, other = (trained(folder, protocol, key) for key in (0, 0, 1))
    found = [codes(model, select(prepared(model, None), "all"))["mean"] for model in (first, again, other)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2]) == (protocol != "dynamic")


def test_labels_and_one_image_alone(folder):
    model = trained(folder)
    write_images(folder / "labelled.npz", count=30, labels=np.arange(30))
    found = codes(model, select(prepared(model, str(folder / "labelled.npz")), "all"))
    assert found["labels"].tolist() == list(range(30))
    write_images(folder / "one.npy", count=1)
    alone = codes(model, select(prepared(model, str(folder / "one.npy")), "all"))
    assert alone["mean"].shape == (1, 2)


def test_a_full_covariance_is_saved_by_the_names_of_its_family(folder):
    model = trained(folder)
    vae = build(mlp([36, 5]), mlp([2, 36]), data_dim=36, latent_dim=2, posterior=heads.full_normal)
    model = model._replace(vae=vae, params=vae.init(random.key(0)))
    found = codes(model, select(prepared(model, None), "test"))
    assert {name: tuple(leaf.shape) for name, leaf in found.items()} == {"mean": (50, 2), "scale_tril": (50, 2, 2)}


def test_images_of_another_shape_are_refused_with_both(folder):
    write_images(folder / "wide.npy", shape=(4, 9))
    with pytest.raises(DataError, match=r"wide.npy: images of shape \(4, 9\), but .* images of \(6, 6\)"):
        prepared(trained(folder), str(folder / "wide.npy"))


def check_samples(folder, found):
    vae, params, _ = by_hand(folder, "grey")
    expected = torch.sigmoid(vae.likelihood(params, found.latents, None).logits)
    torch.testing.assert_close(found.images, expected, rtol=1e-5, atol=1e-6)


def test_samples_are_the_means_at_their_latents(folder):
    found = sample(trained(folder), 20)
    check_samples(folder, found)
    with pytest.raises(AssertionError):
        check_samples(folder, found._replace(images=found.images.flip(0)))


def test_the_first_samples_are_the_same_for_every_count_and_others_for_another_key(folder):
    few, many, other = sample(trained(folder), 3), sample(trained(folder), 1200), sample(trained(folder, key=1), 3)
    assert torch.equal(few.latents, many.latents[:3])
    assert not torch.equal(few.latents, other.latents)


def prior_draws(folder):
    """Latents of samples, and their squares, whose means are 0 and 1; a run's key stands for the key of a check."""

    def draw(key, count):
        latents = sample(trained(folder, key=verify.seeds.seed_of(key)), count).latents
        return torch.cat([latents, latents**2], 1)

    return draw


def test_samples_are_drawn_from_the_prior(folder):
    draw, expected = prior_draws(folder), torch.tensor([0.0, 0.0, 1.0, 1.0])
    variance = torch.tensor([1.0, 1.0, 2.0, 2.0])  # of a standard normal, and of its square
    assert verify.mean_bounded(draw, expected, variance, name="samples of a run", detect=0.3).check().draws > 1000
    wider = verify.mean_bounded(lambda key, n: 1.3 * draw(key, n), expected, variance, name="wider samples", detect=0.3)
    assert wider.status == "biased"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_reconstruction_is_the_decoded_mean_of_what_was_shown(folder, protocol):
    model = trained(folder, protocol)
    split = select(prepared(model, None), "test")
    found = reconstruct(model, split, 10, draws=400)
    vae, params, dataset = by_hand(folder, protocol)
    if protocol != "dynamic":
        assert torch.equal(found.images, dataset.test.images[:10].float() / 255)
    assert found.places.tolist() == list(range(10))
    q = vae.posterior(params, found.images, None)
    torch.testing.assert_close(found.latents, q.loc, rtol=1e-5, atol=1e-6)
    decoded = torch.sigmoid(vae.likelihood(params, q.loc, None).logits)
    torch.testing.assert_close(found.decoded, decoded, rtol=1e-5, atol=1e-6)
    assert (found.evaluation.protocol, found.evaluation.examples) == (protocol, 10)


def test_a_reconstruction_is_evaluated_under_the_posterior(folder):
    model, draws = trained(folder), 64
    split = select(prepared(model, None), "test")
    vae, params, _ = by_hand(folder, "grey")
    images = reconstruct(model, split, 10, draws=1).images
    q = vae.posterior(params, images, None)

    def told(key, count):
        runs = (reconstruct(model._replace(key=own), split, 10, draws=draws) for own in random.split(key, count))
        return torch.tensor([run.evaluation.reconstruction for run in runs], dtype=torch.float64)

    def drawn(key, count, images=images):
        z = q.sample(random.normal(key, (count, draws, 10, 2)))
        return vae.likelihood(params, z, None).log_prob(images).mean((1, 2)).double()

    verify.same_mean(told, drawn, name="reconstruction", detect=2.0).check()
    others = verify.same_mean(drawn, lambda key, n: drawn(key, n, images.flip(1)), name="others", detect=2.0)
    assert others.status == "biased"


def test_more_reconstructions_than_images_are_all_of_them(folder):
    model = trained(folder)
    assert len(reconstruct(model, select(prepared(model, None), "test"), 1000, draws=1).images) == 50


def test_checkpoints_are_found_by_name_and_path(folder):
    run = folder / "runs" / "grey"
    last, first = checkpoints(run)
    assert choose_checkpoint(run, "newest") == last
    assert choose_checkpoint(run, "best") == run / "checkpoints" / "best.safetensors"
    assert choose_checkpoint(run, first.name) == first
    assert choose_checkpoint(run, str(first)) == first
    newer, older = (sample(trained(folder, checkpoint=which), 2).images for which in ("newest", first.name))
    assert not torch.equal(newer, older)


def test_checkpoints_outside_of_the_run_are_refused(folder):
    run, other = folder / "runs" / "grey", newest(folder / "runs" / "fixed")
    link = run / "checkpoints" / "link.safetensors"
    link.symlink_to(other)
    try:
        for which in (str(other), "../config.toml", "link.safetensors", "..", "", "/", str(run)):
            with pytest.raises(RunError, match=r"is not in .*checkpoints: give newest, best"):
                choose_checkpoint(run, which)
    finally:
        link.unlink()
    with pytest.raises(RunError, match=r"nothing.safetensors does not exist: the newest checkpoint is step-"):
        choose_checkpoint(run, "nothing.safetensors")


def test_a_run_without_validation_has_no_best(tmp_path):
    write_images(tmp_path / "images.npy")
    run = small_run(tmp_path, epochs=1)
    with pytest.raises(RunError, match="no best checkpoint, which takes a run with --held-out"):
        choose_checkpoint(run, "best")


def test_parameters_that_are_not_finite_are_refused(folder, monkeypatch):
    def broken(path, make):
        model = read_model(path, make)
        return model._replace(params=tree.map(lambda leaf: leaf / 0, model.params))

    monkeypatch.setattr("vae_fn.run.codes.read_model", broken)
    with pytest.raises(RunError, match="parameters that are not finite"):
        trained(folder)


def test_a_damaged_checkpoint_is_refused(folder):
    run = folder / "runs" / "grey"
    path = run / "checkpoints" / "edited.safetensors"
    save_file(load_file(newest(run)), path)
    try:
        with pytest.raises(RunError, match="is not a checkpoint of vae_fn"):
            trained(folder, checkpoint=path.name)
    finally:
        path.unlink()


def test_the_device_is_that_asked_for(folder):
    run = folder / "runs" / "grey"
    with pytest.raises(ValueError, match="another --device"):
        load_trained(run, replace(read_config(run), device="cuda:99"), "newest", 0)
