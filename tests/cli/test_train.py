import json
import sys
from types import ModuleType

from vae_fn.cli.main import main
from vae_fn.run.config import PRESETS
from vae_fn.run.folder import RunError


def stub(monkeypatch, train):
    module = ModuleType("vae_fn.run.train")
    module.train = train
    monkeypatch.setitem(sys.modules, "vae_fn.run.train", module)


def test_train_says_where_the_results_are(tmp_path, monkeypatch, capsys):
    seen = []

    def train(config):
        seen.append(config)
        test = {"elbo": -139.874, "reconstruction": -132.9, "kl": None, "protocol": "grey"}
        (tmp_path / "summary.json").write_text(json.dumps({"parameters": 1, "test": test}))
        return tmp_path

    stub(monkeypatch, train)
    assert main(["train", "quick"]) == 0
    assert seen == [PRESETS["quick"]]
    assert capsys.readouterr().out.splitlines() == [
        f"results in {tmp_path}",
        "test ELBO -139.87 nats per image (reconstruction -132.90 nats, KL not finite; protocol grey)",
    ]


def test_a_run_in_the_way_is_one_line(monkeypatch, capsys):
    def train(config):
        raise RunError("runs/a exists:\nchoose another --name")

    stub(monkeypatch, train)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "vae-fn train: error: runs/a exists: choose another --name\n"
