"""A short run of the main job, on the real images."""

import json

import pytest
import torch

from vae_fn import tree
from vae_fn.cli.main import main
from vae_fn.run import train as train_module
from vae_fn.run.assemble import make_model
from vae_fn.run.checkpoints import newest, read_parameters
from vae_fn.run.checks import ConfigError
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.config import TrainConfig
from vae_fn.run.evaluate import evaluate_run
from vae_fn.run.folder import RunError, read_config
from vae_fn.run.metrics import read_metrics

TIMING = ("seconds", "examples_per_second")


def run(folder, **settings):
    defaults = {"epochs": 1, "batch_size": 500, "hidden": 64, "log_every": 40, "compile": False, "runs_dir": folder}
    return train_module.train(TrainConfig(**defaults | settings), quiet=True)


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
    vae = make_model(read_config(finished), (28, 28))
    assert summary["parameters"] == tree.size(read_parameters(newest(finished), vae))
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
    with pytest.raises(NonFiniteError, match="step 2 is not finite"):
        run(tmp_path, optimizer="sgd", learning_rate=1e30, weight_decay=0.0, clip_norm=0.0, log_every=2)
    last = read_metrics(tmp_path / "tutorial-0" / "metrics.jsonl")[-1]
    assert last["loss"] is None
    assert "loss" in last["nonfinite"]


def test_a_device_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="another --device"):
        run(tmp_path, device="cuda:99")
    assert not list(tmp_path.iterdir())


def test_a_warm_up_longer_than_the_run_is_refused_before_the_folder_is_made(tmp_path):
    with pytest.raises(ConfigError, match="fewer --warmup-steps"):
        run(tmp_path, schedule="warmup-cosine", warmup_steps=120)
    assert not list(tmp_path.iterdir())


def test_the_compiled_main_job_runs_on_mnist(tmp_path, fresh_compiler):
    folder = run(tmp_path, hidden=512, batch_size=128, compile=True, log_every=100, evaluation_draws=2)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["parameters"] == 1_149_972
    assert summary["steps"] == 469
    # An epoch of the eager step ends near -169 on these images.
    assert -180 < summary["test"]["elbo"] < -155
    assert 2 < summary["test"]["kl"] < 7
    again = evaluate_run(folder, draws=2)
    assert {name: again[name] for name in ("elbo", "kl", "se_noise")} == {
        name: summary["test"][name] for name in ("elbo", "kl", "se_noise")
    }
    # One draw for each image, of other noise: twelve standard errors, the larger of the two.
    followed = read_metrics(folder / "metrics.jsonl")[-1]
    assert followed["split"] == "test"
    assert followed["elbo"] == pytest.approx(again["elbo"], abs=12 * 2**0.5 * again["se_noise"])
