"""Runs with discrete latents, from training to the figures and commands that use them."""

import json

import numpy as np
import pytest
import torch

from tests.run.trained import small_run, write_images
from vae_fn import random
from vae_fn.cli.main import main
from vae_fn.evaluation.latents import encode, layers_of, usage
from vae_fn.run.codes import load_trained
from vae_fn.run.figures import FIGURES, which
from vae_fn.run.folder import read_config
from vae_fn.run.report import draw_run, notes
from vae_fn.run.subject import load_subject

RUNS = {
    "bernoulli": {"latents": 4},
    "bernoulli-2": {"latents": 4, "hidden": 0},
    "categorical": {"latents": 3, "classes": 5},
}
EVENTS = {"bernoulli": {"": (4,)}, "bernoulli-2": {"_1": (4,), "_2": (4,)}, "categorical": {"": (3, 5)}}
ALWAYS = {"loss_curves", "samples", "reconstructions", "code_usage", "gradient_norm"}
"""The figures of every discrete run."""


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_images(folder / "images.npy")
    settings = {
        "estimator": "rloo",
        "samples": 3,
        "binarise": "dynamic",
        "tensorboard": True,
        "epochs": 10,
        "learning_rate": 0.03,
    }
    return small_run(folder, name="a", latent_family=request.param, **settings | RUNS[request.param])


def family(run):
    return read_config(run).latent_family


def trained_of(run):
    return load_trained(run, read_config(run), "newest", 0)


def test_training_raises_the_elbo(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    elbos = [row["elbo"] for row in rows if row["split"] == "test"]
    assert elbos[-1] > elbos[0] + 0.1
    assert all(
        (row["kl_by_dimension"] is None) == (family(run) == "bernoulli-2") for row in rows if row["split"] == "test"
    )
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test"]["elbo"] == pytest.approx(summary["test"]["reconstruction"] - summary["test"]["kl"])


def test_figures_are_those_that_mean_something(run):
    subject = load_subject(run, read_config(run), "newest", 0)
    assert set(which(subject)) == ALWAYS | (set() if family(run) == "bernoulli-2" else {"kl_by_dimension"})
    assert all("{" not in FIGURES[name](subject)[1] for name in which(subject))
    assert "The latents are discrete" in " ".join(notes(subject, {}))
    result = draw_run(run, read_config(run), "newest", 0, quiet=True)
    assert result["deviations"] == []
    assert (run / "figures" / "code_usage.png").stat().st_size > 5_000


def test_usage_is_the_mean_of_the_probabilities(run):
    trained, used = trained_of(run), load_subject(run, read_config(run), "newest", 0).usage
    shapes = list(EVENTS[family(run)].values())
    assert [each.posterior.shape for each in used] == shapes
    assert [each.prior.shape for each in used] == shapes
    q = encode(trained.vae, trained.params, torch.eye(36)[:9])
    noise = random.draw(random.key(0), q.noise_like())
    layers = layers_of(q, q.sample(noise))
    assert [tuple(each.mean.shape) for each in layers] == [(9, *shape) for shape in shapes]
    for found, layer in zip(usage(q, noise), layers, strict=True):
        torch.testing.assert_close(found, layer.mean.sum(0) / 9)
    prior = trained.vae.prior(trained.params, None)
    if family(run) != "bernoulli-2":
        drawn = random.draw(random.key(0), prior.noise_like((5,)))
        torch.testing.assert_close(usage(prior, drawn)[0], prior.mean)


def test_commands_write_the_layers_under_their_names(run, tmp_path, capsys):
    shapes = EVENTS[family(run)]
    for command, name in (("sample", "latents"), ("reconstruct", "latents"), ("encode", "mean"), ("encode", "logits")):
        out = tmp_path / "x.npz"
        count = [] if command == "encode" else ["--count", "7"]
        assert main([command, str(run), "--out", str(out), *count]) == 0
        with np.load(out) as arrays:
            found = {key.removeprefix(name): arrays[key].shape[1:] for key in arrays if key.startswith(name)}
        assert found == shapes
    assert main(["evaluate", str(run)]) == 0
    assert "test ELBO" in capsys.readouterr().out


def test_a_code_is_its_most_probable_value(run, tmp_path):
    assert main(["reconstruct", str(run), "--out", str(tmp_path / "x.npz"), "--quiet"]) == 0
    with np.load(tmp_path / "x.npz") as arrays:
        latents = [arrays[f"latents{ending}"] for ending in EVENTS[family(run)]]
    assert all(np.isin(each, (0, 1)).all() for each in latents)
    if family(run) == "categorical":
        assert (latents[0].sum(-1) == 1).all()
