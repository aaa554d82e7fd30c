"""A short run of the main job, on the real images."""

import json
import tomllib

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._subclasses.fake_tensor import FakeTensor

from vae_fn import random, tree
from vae_fn.cli.main import main
from vae_fn.data import binarisation
from vae_fn.run import train as train_module
from vae_fn.run.assemble import POSED, make_algorithm, make_data, make_model, make_streams
from vae_fn.run.config import IMPORTANCE_WEIGHTED, LEAVE_ONE_OUT, PRESETS, ConfigError, TrainConfig
from vae_fn.run.evaluate import evaluate_run
from vae_fn.run.folder import RunError, read_config, read_metrics
from vae_fn.run.parameters import load_parameters
from vae_fn.training import Batch, step_by_shape

TIMING = ("seconds", "examples_per_second")


def run(folder, **settings):
    defaults = {"epochs": 1, "batch_size": 500, "hidden": 64, "log_every": 40, "compile": False, "runs_dir": folder}
    return train_module.train(TrainConfig(**defaults | settings))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs"), held_out=5_000, evaluation_draws=3)


def without_timing(folder):
    return [{k: v for k, v in row.items() if k not in TIMING} for row in read_metrics(folder / "metrics.jsonl")]


def test_the_folder_holds_what_the_run_was_and_gave(finished):
    assert read_config(finished).held_out == 5_000
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["torch"] == torch.__version__
    assert "philox" in environment["generator"]
    rows = read_metrics(finished / "metrics.jsonl")
    assert [(row["step"], row["split"]) for row in rows] == [
        (40, "train"),
        (80, "train"),
        (110, "train"),
        (110, "validation"),
    ]
    assert all(row["protocol"] == "grey" and row["nonfinite"] == [] for row in rows)
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["steps"] == 110
    assert summary["parameters"] == tree.size(
        load_parameters(finished / train_module.PARAMETERS, make_model(read_config(finished)))
    )
    test = summary["test"]
    assert test["elbo"] == pytest.approx(test["reconstruction"] - test["kl"], rel=1e-12)
    assert (test["protocol"], test["examples"], test["draws"]) == ("grey", 10_000, 3)


def test_it_learns(finished):
    """The first images cost 543 nats at random parameters; a mean image alone brings them to about 206."""
    assert json.loads((finished / "summary.json").read_text())["test"]["elbo"] > -215


def test_the_same_key_twice_gives_the_same_rows_but_for_their_timing(finished, tmp_path):
    again = run(tmp_path, held_out=5_000, evaluation_draws=3)
    assert without_timing(again) == without_timing(finished)
    other = run(tmp_path, held_out=5_000, evaluation_draws=3, key=1)
    assert without_timing(other) != without_timing(finished)


def test_evaluation_from_the_folder_repeats_the_result(finished):
    test = json.loads((finished / "summary.json").read_text())["test"]
    again = evaluate_run(finished, draws=3)
    assert {name: again[name] for name in test if name != "nonfinite"} == {
        k: v for k, v in test.items() if k != "nonfinite"
    }
    other = evaluate_run(finished, draws=3, key=5)
    assert other["elbo"] != again["elbo"]
    assert other["elbo"] == pytest.approx(again["elbo"], abs=12 * (again["se_noise"] + other["se_noise"]))


def test_the_command_line_trains_and_evaluates(tmp_path, capsys):
    options = (
        "--epochs 1 --batch-size 1000 --hidden 8 --no-compile --evaluation-draws 1 --binarise dynamic --estimator dreg"
    )
    assert main(["train", "quick", "--samples", "2", *options.split(), "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"results in {tmp_path / 'quick-0'}" in printed
    assert "protocol dynamic" in printed
    assert main(["evaluate", str(tmp_path / "quick-0"), "--draws", "2", "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["draws"] == 2


def test_a_run_in_the_way_is_kept_unless_told_otherwise(finished):
    before = (finished / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match="--overwrite"):
        run(finished.parent, held_out=5_000)
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run_with_a_row_that_names_it(tmp_path):
    with pytest.raises(train_module.NonFiniteError, match="at or before step"):
        run(tmp_path, optimizer="sgd", learning_rate=1e30, weight_decay=0.0, clip_norm=0.0, log_every=2)
    last = read_metrics(tmp_path / "tutorial-0" / "metrics.jsonl")[-1]
    assert last["loss"] is None
    assert "loss" in last["nonfinite"]


def test_parameters_of_another_model_or_a_damaged_file_are_refused(finished, tmp_path):
    path, model = finished / train_module.PARAMETERS, make_model(read_config(finished))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="cannot be read"):
        load_parameters(broken, model)
    tensors = load_file(path)
    save_file({name: leaf for name, leaf in tensors.items() if name != "decoder/0.bias"}, broken)
    with pytest.raises(RunError, match="has nothing"):
        load_parameters(broken, model)
    save_file(tensors | {"more": torch.zeros(1)}, broken)
    with pytest.raises(RunError, match="'more'"):
        load_parameters(broken, model)
    with pytest.raises(RunError, match="is missing"):
        load_parameters(tmp_path / "nothing", model)


def test_a_device_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="another --device"):
        run(tmp_path, device="cuda:99")
    assert not list(tmp_path.iterdir())


def test_a_warm_up_longer_than_the_run_is_refused_before_the_folder_is_made(tmp_path):
    with pytest.raises(ConfigError, match="fewer --warmup-steps"):
        run(tmp_path, schedule="warmup-cosine", warmup_steps=120)
    assert not list(tmp_path.iterdir())


def test_the_tutorial_preset_is_the_tutorials_program():
    config = PRESETS["tutorial"]
    dataset, protocol = make_data(config)
    assert dataset.validation is None
    assert len(dataset.train.images) == 60_000
    algorithm = make_algorithm(config, make_model(config), protocol, steps=23_450)
    state = algorithm.init(make_streams(config).init, Batch(dataset.train.images[:128]))
    assert tree.size(state.params) == 1_149_972
    settings = tomllib.loads(train_module.to_toml(config))
    expected = {
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


@pytest.mark.parametrize("estimator", POSED)
def test_every_estimator_of_the_command_line_can_be_assembled(estimator):
    config = TrainConfig(estimator=estimator, samples=2, binarise="dynamic", hidden=8)
    algorithm = make_algorithm(config, make_model(config), make_data(config)[1], steps=1)
    assert algorithm.noise_like(Batch(torch.zeros(3, 784, dtype=torch.uint8)))["noise"].shape == (2, 3, 2)


def test_the_validation_split_and_the_fixed_binarisation_do_not_depend_on_the_runs_key():
    one, two = (make_data(TrainConfig(key=key, held_out=100, binarise="fixed"))[0] for key in (0, 1))
    for a, b in zip(tree.leaves(one), tree.leaves(two), strict=True):
        assert torch.equal(a, b)


def test_the_compiled_main_job_runs_on_mnist(tmp_path, fresh_compiler):
    folder = run(tmp_path, hidden=512, batch_size=128, compile=True, log_every=100, evaluation_draws=2)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["parameters"] == 1_149_972
    assert summary["steps"] == 469
    # An epoch of the eager step ends near -169 on these images.
    assert -180 < summary["test"]["elbo"] < -155
    assert 2 < summary["test"]["kl"] < 7


def test_settings_and_estimators_agree_on_what_needs_what():
    for name, (_, make) in POSED.items():
        estimator = make()
        assert estimator.importance_weighted == (name in IMPORTANCE_WEIGHTED), name
        assert (estimator.min_samples > 1) == (name in LEAVE_ONE_OUT), name


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
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_setting_of_the_step_changes_it(change):
    base = {"hidden": 8} | ({"optimizer": "sgd"} if "sgd" in str(CHANGES[change]) and change != "optimizer" else {})
    states = []
    for settings in (base, base | CHANGES[change]):
        config = TrainConfig(**settings)
        algorithm = make_algorithm(config, make_model(config), binarisation(config.binarise), steps=100)
        pixels = torch.randint(0, 256, (16, 784), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        keys, step = make_streams(config), step_by_shape(algorithm)
        state = algorithm.init(keys.init, Batch(pixels))
        for _ in range(2):
            state, _ = step(state, Batch(pixels), keys)
        states.append(torch.cat([leaf.flatten() for leaf in tree.leaves(state.params)]))
    assert states[0].shape != states[1].shape or (states[0] - states[1]).abs().max() > 1e-6


def test_no_two_draws_of_a_run_share_a_key(tmp_path, monkeypatch):
    """Initialisation, orders, steps, the evaluation of each epoch and the last one: every draw has its own key."""
    seen = []
    for law in ("normal", "uniform"):
        original = getattr(random._generator, law)

        def spied(key, shape, _original=original, **rest):
            if not isinstance(key, FakeTensor):
                seen.extend(map(tuple, key.reshape(-1, 2).tolist()))
            return _original(key, shape, **rest)

        monkeypatch.setattr(random._generator, law, spied)
    settings = {"epochs": 2, "batch_size": 20_000, "hidden": 8, "binarise": "dynamic", "evaluation_draws": 1}
    folder = run(tmp_path, **settings)
    evaluate_run(folder, draws=1, key=7)
    assert len(seen) > 4 * 20_000
    assert len(seen) == len(set(seen))
