"""A run whose result is not a number says so, and keeps what it has."""

import json
import math

import pytest

from vae_fn.evaluation import Evaluation
from vae_fn.run import train as train_module
from vae_fn.run.config import TrainConfig


def test_a_result_that_is_not_finite_is_an_error_and_stands_in_the_summary(tmp_path, monkeypatch):
    lost = Evaluation(math.nan, math.nan, 7.0, "grey", 10_000, 1, None)
    monkeypatch.setattr(train_module, "evaluate_elbo", lambda *args, **settings: lost)
    config = TrainConfig(epochs=1, batch_size=20_000, hidden=8, compile=False, runs_dir=tmp_path)
    with pytest.raises(train_module.NonFiniteError, match="test ELBO is not finite"):
        train_module.train(config)
    test = json.loads((tmp_path / "tutorial-0" / "summary.json").read_text())["test"]
    assert test["elbo"] is None
    assert test["nonfinite"] == ["elbo", "reconstruction"]
