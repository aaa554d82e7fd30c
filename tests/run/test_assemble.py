"""The parts of a run are those that its settings name."""

import sys
import tomllib
from typing import get_args

import pytest
import torch

from tests.run.runs import write_images
from vae_fn import models, random, tree
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.run.assemble import assemble, make_data
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import PRESETS, TrainConfig, to_toml
from vae_fn.run.estimators import TRAITS, Estimator, Traits
from vae_fn.training import Batch, step_by_shape
from vae_fn.training.step import draw_noise


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """480 images of 36 pixels, of which 400 are to train on."""
    return str(write_images(tmp_path_factory.mktemp("data")))


def test_the_tutorial_preset_is_the_tutorials_program():
    config = PRESETS["tutorial"]
    parts = assemble(config)
    assert parts.dataset.validation is None
    assert len(parts.dataset.train.images) == 60_000
    assert parts.steps == 23_450
    state = parts.algorithm.init(parts.streams.init, parts.batches(0))
    assert tree.size(state.params) == 1_149_972
    settings = tomllib.loads(to_toml(config))
    expected = {
        "data": "mnist",
        "epochs": 50,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 1e-2,
        "clip_norm": 1.0,
        "latents": 2,
        "hidden": 512,
        "beta": 1.0,
        "estimator": "pathwise",
        "samples": 1,
        "binarise": "grey",
        "schedule": "constant",
    }
    assert {name: settings[name] for name in expected} == expected


def fitting(name, **settings):
    """Settings of a small model that an estimator takes."""
    family = "bernoulli" if TRAITS[name].latents == "discrete" else "normal"
    return TrainConfig(estimator=name, samples=2, binarise="dynamic", hidden=8, latent_family=family, **settings)


@pytest.mark.parametrize("name", TRAITS)
def test_every_estimator_of_the_command_line_trains_a_step(name, blobs):
    parts = assemble(fitting(name, data=blobs))
    batch = Batch(torch.randint(0, 256, (3, 36), generator=torch.Generator().manual_seed(0), dtype=torch.uint8))
    state = parts.algorithm.init(parts.streams.init, batch)
    noise = draw_noise(parts.streams, state.step, parts.algorithm.noise_like(batch), torch.float32)
    after, info = parts.algorithm.step(state, batch, noise)
    assert all(bool(leaf.isfinite().all()) for leaf in tree.leaves((after, info)))
    moved = [not torch.equal(a, b) for a, b in zip(*map(tree.leaves, (state.params, after.params)), strict=True)]
    assert any(moved)


def test_the_validation_split_and_the_fixed_binarisation_do_not_depend_on_the_runs_key():
    one, two = (make_data(TrainConfig(key=key, held_out=100, binarise="fixed"))[0] for key in (0, 1))
    for a, b in zip(tree.leaves(one), tree.leaves(two), strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def stateful(estimator):
    vae = models.bernoulli_latents(2, (), 4) if estimator.latents == "discrete" else models.tutorial(2, 8, 4)
    params = vae.init(random.key(0))
    return bool(tree.leaves(estimator.init(elbo_sampled_problem(vae, torch.zeros(3, 4)), params)))


def test_settings_and_estimators_agree_on_what_needs_what():
    made = {name: entry.make() for name, entry in CATALOGUE.items()}
    known = {name: Traits(e.latents, e.min_samples, e.importance_weighted, stateful(e)) for name, e in made.items()}
    assert known == TRAITS
    assert [*TRAITS] == [*get_args(Estimator)] == [*CATALOGUE]


@pytest.mark.parametrize(
    ("estimator", "family", "reason"),
    [
        ("relax", "bernoulli-2", "relax takes one layer of latents"),
        ("disarm", "categorical", "disarm"),
        ("rebar", "bernoulli-2", "rebar takes one layer of latents"),
    ],
)
def test_an_estimator_that_does_not_take_the_model_says_so(estimator, family, reason, blobs):
    config = TrainConfig(data=blobs, estimator=estimator, latent_family=family, hidden=0, samples=2)
    with pytest.raises(ConfigError, match=f"--estimator {estimator} does not go with this model: {reason}"):
        assemble(config)


CHANGES = {
    "kl_warmup": {"kl_warmup": 10},
    "beta": {"beta": 2.0},
    "samples": {"samples": 3},
    "clip_norm": {"clip_norm": 0.01, "optimizer": "sgd"},
    "free_bits": {"free_bits": 0.5},
    "weight_decay": {"weight_decay": 0.5},
    "sgd weight_decay": {"weight_decay": 0.5, "optimizer": "sgd"},
    "learning_rate": {"learning_rate": 1e-2},
    "schedule": {"schedule": "warmup-cosine", "warmup_steps": 3},
    "optimizer": {"optimizer": "sgd"},
    "estimator": {"estimator": "stl"},
    "binarise": {"binarise": "dynamic"},
    "latents": {"latents": 3},
    "key": {"key": 1},
    "held_out": {"held_out": 7},
    "batch_size": {"batch_size": 15},
}


def trained(config):
    """The parameters after two steps."""
    parts = assemble(config)
    state, step = parts.algorithm.init(parts.streams.init, parts.batches(0)), step_by_shape(parts.algorithm)
    for number in range(2):
        state, _ = step(state, parts.batches(number), parts.streams)
    return torch.cat([leaf.flatten() for leaf in tree.leaves(state.params)])


@pytest.mark.parametrize("change", CHANGES)
def test_every_setting_of_the_step_changes_it(change, blobs):
    base = {"data": blobs, "hidden": 8, "batch_size": 16}
    if "optimizer" in CHANGES[change] and change != "optimizer":
        base["optimizer"] = CHANGES[change]["optimizer"]
    one, two = trained(TrainConfig(**base)), trained(TrainConfig(**base | CHANGES[change]))
    assert one.shape != two.shape or (one - two).abs().max() > 1e-6


def test_skipping_changes_no_finite_step(blobs):
    base = {"data": blobs, "hidden": 8, "batch_size": 16}
    assert torch.equal(trained(TrainConfig(**base)), trained(TrainConfig(**base, skip_nonfinite=True)))


@pytest.mark.parametrize(("held_out", "batch_size"), [(400, 1), (500, 1), (0, 401), (300, 101)])
def test_the_data_bound_the_held_out_part_and_the_batch(held_out, batch_size, blobs):
    with pytest.raises(ConfigError, match=r"use (--held-out 33|at most \d+)"):
        assemble(TrainConfig(data=blobs, hidden=8, held_out=held_out, batch_size=batch_size))


@pytest.mark.parametrize(("held_out", "batch_size"), [(399, 1), (0, 400), (300, 100)])
def test_what_just_fits_the_data_is_taken(held_out, batch_size, blobs):
    assert assemble(TrainConfig(data=blobs, hidden=8, held_out=held_out, batch_size=batch_size)).steps > 0


def test_a_compiled_step_needs_a_compiler(blobs, monkeypatch):
    config = {"data": blobs, "hidden": 8}
    for compiler in ("/nonexistent/g++ -O2", ""):
        monkeypatch.setenv("CXX", compiler)
        with pytest.raises(ConfigError, match=r"install g\+\+, or name yours in CXX, or use --no-compile"):
            assemble(TrainConfig(**config))
        assemble(TrainConfig(**config, compile=False))
    monkeypatch.setenv("CXX", f"{sys.executable} -x")
    assemble(TrainConfig(**config))
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="there is no C"):
        assemble(TrainConfig(**config))
