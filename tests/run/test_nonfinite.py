"""A run that loses its numbers says so in one line, keeps what it has, and its JSON stays valid."""

import json
import math

import pytest
import torch

from tests.run.poison import CLOCK, config, exploding, harm
from tests.training.poison import corner, no_number
from vae_fn import tree
from vae_fn.cli.main import main
from vae_fn.run import recorder as recorder_module
from vae_fn.run import train as train_module
from vae_fn.run.checkpoints import checkpoints
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.listing import list_run
from vae_fn.run.metrics import read_metrics
from vae_fn.run.resume import resume
from vae_fn.run.train import train


def test_a_result_that_is_not_finite_is_an_error_and_stands_in_the_summary(tmp_path, monkeypatch):
    original = recorder_module.evaluate_elbo

    def lost(*args, draws, **settings):
        result = original(*args, draws=draws, **settings)
        return result._replace(elbo=math.nan, reconstruction=math.nan) if draws == 3 else result

    monkeypatch.setattr(recorder_module, "evaluate_elbo", lost)
    with pytest.raises(NonFiniteError, match="test ELBO is not finite"):
        train(config(tmp_path, evaluation_draws=3), quiet=True)
    test = json.loads((tmp_path / "runs" / "small" / "summary.json").read_text())["test"]
    assert test["elbo"] is None
    assert test["nonfinite"] == ["elbo", "reconstruction"]


def test_a_learning_rate_that_is_far_too_large_is_one_line(tmp_path, capsys):
    (tmp_path / "settings.toml").write_text(to_toml(exploding(tmp_path)))
    assert main(["train", "--config", str(tmp_path / "settings.toml"), "--quiet"]) == 2
    out, err = capsys.readouterr()
    run = tmp_path / "runs" / "small"
    assert out == ""
    assert err == (
        "vae-fn train: error: step 2 is not finite, first in posterior/layer 2 Linear (64 NaN of 64): "
        f"try a smaller --learning-rate; saved in {run / 'nonfinite' / 'step-000000002.safetensors'}; "
        f"see it term by term with `vae-fn replay {run} --step 2`\n"
    )
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [4]
    assert rows[0]["loss"] is rows[0]["grad_norm"] is None
    assert rows[0]["nonfinite"] == ["elbo", "reconstruction", "kl", "loss", "grad_norm"]
    assert checkpoints(run) == []
    assert not (run / "summary.json").exists()


def test_the_steps_before_are_kept(tmp_path, monkeypatch):
    harm(monkeypatch, corner, 8)
    with pytest.raises(NonFiniteError, match=r"step 8 is not finite, first in gradient/decoder/0.weight .*--skip-nonf"):
        train(config(tmp_path, **CLOCK, log_every=5, checkpoint_every=3), quiet=True)
    run = tmp_path / "runs" / "small"
    assert [path.stem for path in checkpoints(run)] == ["step-000000006", "step-000000005"]
    rows = [row for row in read_metrics(run / "metrics.jsonl") if row["split"] == "train"]
    assert [(row["step"], row["loss"] is None) for row in rows] == [(5, False), (9, True)]


def test_going_on_says_which_step_was_lost_and_how_to_see_it(tmp_path, monkeypatch, capsys):
    settings, run = config(tmp_path, **CLOCK), tmp_path / "runs" / "small"
    with monkeypatch.context() as harmed:
        harm(harmed, corner, 8)
        with pytest.raises(NonFiniteError):
            train(settings, quiet=True)
        assert list_run(run).state == "not finite"
        with pytest.raises(NonFiniteError, match="step 8 is not finite"):
            resume(run, settings, quiet=True)
    line = f"step 8 was not finite: `vae-fn replay {run} --step 8` takes it apart\n"
    assert capsys.readouterr().err == line
    resume(run, settings, quiet=True)
    assert capsys.readouterr().err == line
    assert list_run(run).state == "finished"


def test_skipped_steps_are_counted_in_rows_and_summary_and_left_out_of_means(tmp_path, monkeypatch):
    harm(monkeypatch, corner, 3, 4, 7)
    train(config(tmp_path, **CLOCK, skip_nonfinite=True), quiet=True)
    run = tmp_path / "runs" / "small"
    assert json.loads((run / "summary.json").read_text())["skipped"] == 3
    rows = [row for row in read_metrics(run / "metrics.jsonl") if row["split"] == "train"]
    assert [(row["step"], row["skipped"]) for row in rows] == [(2, 0), (4, 2), (5, 0), (6, 0), (8, 1), (10, 0)]
    assert [row["loss"] is None for row in rows] == [False, True, False, False, False, False]
    assert rows[1]["nonfinite"] == ["elbo", "reconstruction", "kl", "loss", "grad_norm"]


def test_skipping_is_off_by_default(tmp_path, monkeypatch):
    assert TrainConfig().skip_nonfinite is False
    harm(monkeypatch, no_number, 3)
    with pytest.raises(NonFiniteError, match="step 3 is not finite"):
        train(config(tmp_path, **CLOCK), quiet=True)


def test_skipping_from_a_lost_state_stops(tmp_path, monkeypatch):
    """Nothing will ever be finite again: the run says so at its first row."""
    original = train_module.initial_state

    def lost(parts):
        return tree.map(lambda leaf: leaf * torch.nan if leaf.is_floating_point() else leaf, original(parts))

    monkeypatch.setattr(train_module, "initial_state", lost)
    with pytest.raises(NonFiniteError, match=r"step 1 is not finite, first in params/encoder/0.weight .*another --key"):
        train(config(tmp_path, skip_nonfinite=True), quiet=True)
