import json
import math
import subprocess
import sys
from types import ModuleType

import pytest

from vae_fn.cli import evaluate
from vae_fn.cli.main import main
from vae_fn.run.config import TrainConfig, to_toml


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder, and an evaluation that returns what it was asked for."""

    def evaluate_run(run, draws, key, device, checkpoint):
        terms = {"elbo": -140.0, "reconstruction": math.nan, "kl": 7.0, "se_noise": 0.0123}
        asked = {"draws": draws, "key": key, "device": device, "checkpoint": checkpoint}
        return terms | {"protocol": "grey", "examples": 10_000, "step": 1000, "epoch": 2} | asked

    module = ModuleType("vae_fn.run.evaluate")
    module.evaluate_run = evaluate_run
    monkeypatch.setitem(sys.modules, "vae_fn.run.evaluate", module)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(to_toml(TrainConfig(evaluation_draws=13)))
    return tmp_path / "run"


def test_evaluate_prints_and_writes(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--key", "3", "--draws", "4", "--json", str(tmp_path / "result.json")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{run}: test ELBO -140.00 nats per image (reconstruction not finite, KL 7.00 nats; protocol grey)",
        "10,000 test images weighted equally, 4 draws each of noise of key 3; standard error from the noise 0.012 nats",
        "parameters of newest, after step 1,000 and 2 of 50 epochs; the run is stopped",
    ]
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["reconstruction"] is None
    assert written["nonfinite"] == ["reconstruction"]
    assert (written["elbo"], written["draws"], written["key"]) == (-140.0, 4, 3)


def test_evaluate_defaults_to_the_settings_of_the_run(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    assert "13 draws each of the run's own noise" in capsys.readouterr().out


def test_where_the_parameters_of_a_stopped_run_stand(here, capsys):
    assert main(["evaluate", "runs/stopped", "--json", "result.json"]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line == "parameters of step-000000020.safetensors, after step 20 and 1 of 2 epochs; the run is stopped"
    written = json.loads((here / "result.json").read_text())
    assert (written["checkpoint"], written["step"], written["epoch"]) == ("step-000000020.safetensors", 20, 1)
    assert main(["evaluate", "runs/done"]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line == "parameters of step-000000040.safetensors, after step 40 and 2 of 2 epochs"


def test_a_run_may_be_given_by_a_link(here, capsys):
    (here / "latest").symlink_to(here / "runs" / "done")
    assert main(["evaluate", "latest", "--json", "result.json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("after step 40 and 2 of 2 epochs")
    assert json.loads((here / "result.json").read_text())["step"] == 40


def test_one_draw_has_no_standard_error(run, capsys):
    assert main(["evaluate", str(run), "--draws", "1"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line == "10,000 test images weighted equally, 1 draw each of the run's own noise"


def test_the_result_is_printed_even_if_it_cannot_be_written(run, tmp_path, monkeypatch, capsys):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate, "write_json", fail)
    assert main(["evaluate", str(run), "--json", str(tmp_path / "out.json")]) == 2
    out, err = capsys.readouterr()
    assert "test ELBO -140.00 nats" in out
    assert err == "vae-fn evaluate: error: No space left on device: free some space or choose another place\n"


def test_evaluate_needs_a_run_even_with_draws_given(run, capsys):
    assert main(["evaluate", str(run) + "n", "--draws", "3"]) == 2
    assert capsys.readouterr().err == f"vae-fn evaluate: error: {run}n does not exist. Did you mean {run}?\n"


def test_a_file_of_the_run_is_not_overwritten(run, capsys):
    before = (run / "config.toml").read_bytes()
    assert main(["evaluate", str(run), "--json", str(run / "config.toml")]) == 2
    assert "must not be a file of the run" in capsys.readouterr().err
    assert (run / "config.toml").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        *("summary.json", "metrics.jsonl", "environment.json", "report.html"),
        *("checkpoints/a.json", "tensorboard/a.json", "figures/a.json", "nonfinite/a.json"),
    ],
)
def test_no_name_of_the_run_is_taken_before_the_run_takes_it(run, name, capsys):
    (run / name).parent.mkdir(exist_ok=True)
    assert main(["evaluate", str(run), "--json", str(run / name)]) == 2
    assert "must not be a file of the run" in capsys.readouterr().err
    assert not (run / name).exists()
    (run.parent / "link").symlink_to(run)
    assert main(["evaluate", str(run), "--json", str(run.parent / "link" / name)]) == 2
    assert not (run / name).exists()


def test_other_names_in_the_run_may_be_used(run):
    assert main(["evaluate", str(run), "--json", str(run / "mine.json")]) == 0
    assert json.loads((run / "mine.json").read_text())["elbo"] == -140


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(28, "No space left on device", "runs/a"), "runs/a: No space left on device: free some space"),
        (MemoryError(), "does not fit into memory"),
        (RuntimeError("[enforce fail] not enough memory: you tried to allocate"), "does not fit into memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "does not fit into memory"),
        (RuntimeError("CUDA error: out of memory"), "does not fit into memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("Allocation of 2 GiB failed"), "does not fit into memory"),
    ],
)
def test_a_full_disk_and_a_full_memory_are_one_line(run, monkeypatch, capsys, fault, words):
    def fail(*args):
        raise fault

    monkeypatch.setattr(sys.modules["vae_fn.run.evaluate"], "evaluate_run", fail)
    assert main(["evaluate", str(run)]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("words", ["a fault of the program", "CUDA error: an illegal memory access was encountered"])
def test_another_fault_keeps_its_traceback(run, monkeypatch, words):
    def fail(*args):
        raise RuntimeError(words)

    monkeypatch.setattr(sys.modules["vae_fn.run.evaluate"], "evaluate_run", fail)
    with pytest.raises(RuntimeError, match=words):
        main(["evaluate", str(run)])


def test_device_and_checkpoint_reach_the_evaluation(run, tmp_path):
    out = tmp_path / "out.json"
    assert main(["evaluate", str(run), "--device", "cuda:1", "--checkpoint", "best", "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    assert (written["device"], written["checkpoint"]) == ("cuda:1", "best")


def test_a_reader_who_leaves_early_sees_no_error():
    command = [sys.executable, "-c", "from vae_fn.cli.main import main; raise SystemExit(main(['train', '--help']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
