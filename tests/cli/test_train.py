import dataclasses
import json
import sys
from types import ModuleType

import pytest

from vae_fn.cli.main import main
from vae_fn.run.config import PRESETS, TrainConfig, to_toml
from vae_fn.run.folder import RunError


def stub(monkeypatch, name, run):
    """Put a function in the place of `vae_fn.run.<name>.<name>`."""
    module = ModuleType(f"vae_fn.run.{name}")
    setattr(module, name, run)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """What `train` and `resume` are called with; both leave a summary."""
    calls = []

    def called(*args, **settings):
        calls.append((args, settings))
        test = {"elbo": -139.874, "reconstruction": -132.9, "kl": None, "protocol": "grey"}
        (tmp_path / "summary.json").write_text(json.dumps({"parameters": 1, "test": test}))
        return tmp_path

    stub(monkeypatch, "train", called)
    stub(monkeypatch, "resume", called)
    return calls


def test_train_says_where_the_results_are(tmp_path, seen, capsys):
    assert main(["train", "quick"]) == 0
    assert seen == [((PRESETS["quick"],), {"overwrite": False, "quiet": False})]
    assert capsys.readouterr().out.splitlines() == [
        f"results in {tmp_path}",
        "test ELBO -139.87 nats per image (reconstruction -132.90 nats, KL not finite; protocol grey)",
    ]


def test_quiet_prints_nothing_and_json_writes_the_summary(tmp_path, seen, capsys):
    out = tmp_path / "out.json"
    assert main(["train", "--quiet", "--overwrite", "--json", str(out)]) == 0
    assert seen == [((TrainConfig(),), {"overwrite": True, "quiet": True})]
    assert capsys.readouterr() == ("", "")
    assert json.loads(out.read_text()) == json.loads((tmp_path / "summary.json").read_text()) | {"run": str(tmp_path)}


@pytest.mark.parametrize("place", ["", "checkpoints/step-000000007.safetensors"])
def test_a_resumed_run_keeps_its_settings(place, tmp_path, seen):
    run, config = tmp_path / "mine", TrainConfig(key=3, hidden=16, name="mine")
    run.mkdir()
    (run / "config.toml").write_text(to_toml(config))
    assert main(["train", "--resume", str(run / place), "--exact", "--epochs", "60"]) == 0
    expected = dataclasses.replace(config, epochs=60)
    assert seen == [((run / place, expected), {"exact": True, "quiet": False})]


def test_print_config_does_nothing_else(tmp_path, seen, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "quick", "--key", "5", "--print-config"]) == 0
    assert capsys.readouterr() == (to_toml(dataclasses.replace(PRESETS["quick"], key=5)), "")
    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_config_takes_the_settings_of_a_run(tmp_path, seen):
    config = dataclasses.replace(PRESETS["quick"], latents=5)
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert main(["train", "--config", str(tmp_path / "config.toml"), "--name", "again"]) == 0
    assert seen[0][0] == (dataclasses.replace(config, name="again"),)


def test_an_error_of_several_lines_is_one_line(monkeypatch, capsys):
    def train(*args, **settings):
        raise RunError("runs/a exists:\nchoose another --name")

    stub(monkeypatch, "train", train)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "vae-fn train: error: runs/a exists: choose another --name\n"
