import json
import os
import re
import subprocess
import sys

import pytest

from tests.run.trained import small_run, write_images
from vae_fn.cli.main import main
from vae_fn.run import checkpoints, report
from vae_fn.run.checkpoints import newest
from vae_fn.run.config import TrainConfig, to_toml


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    write_images(folder / "images.npy")
    return small_run(folder, name="a", epochs=1)


@pytest.fixture
def run(trained, monkeypatch):
    """A run of which one figure is drawn, seen from the folder that its folder is in."""
    monkeypatch.setattr(report, "which", lambda subject: ["samples"])
    monkeypatch.chdir(trained.parent.parent)
    return trained


MISTAKES = [
    ("figures", "missing argument: RUN, see --help."),
    ("figures nowhere", "nowhere does not exist."),
    ("figures runs/a", "runs/a has no checkpoint yet: train it first, with --resume runs/a"),
    ("figures runs/a --checkpoint best", "runs/a has no best checkpoint, which takes a run with --held-out"),
    ("figures runs/a --checkpoint ../x", "../x is not in runs/a/checkpoints: give newest, best, or the name of a file"),
    ("figures runs/a --device tpu", "--device 'tpu' is unknown: use cpu, cuda"),
    (
        "figures runs/a --json no/x.json",
        "--json must be a file in an existing folder that you may write to, not no/x.jso",
    ),
    ("figures runs/a --json runs/a/config.toml", "--json must not be a file of the run itself"),
    ("figures runs/a --out x", "unknown option '--out'."),
    ("figures runs/a --key -1", "--key must lie between 0 and 2^63 - 1, not -1"),
]


@pytest.mark.parametrize(("command", "line"), MISTAKES)
def test_a_mistake_is_one_line(command, line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.toml").write_text(to_toml(TrainConfig(data="images.npy", hidden=8)))
    assert main(command.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"vae-fn figures: error: {line}")
    assert err.count("\n") == 1
    assert not (tmp_path / "runs" / "a" / "report.html").exists()


def test_the_page_is_named_and_the_result_written(run, tmp_path, capsys):
    assert main(["figures", "runs/a", "--json", str(tmp_path / "out.json"), "--key", "3"]) == 0
    assert capsys.readouterr().out == "1 figures in runs/a/figures, all shown in runs/a/report.html\n"
    assert (run / "report.html").is_file()
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["run"], result["report"], result["figures"]) == ("runs/a", "runs/a/report.html", ["samples"])
    assert (result["checkpoint"], result["step"], result["key"]) == ("step-000000005.safetensors", 5, 3)
    written = json.loads((run / "figures" / "deviations.json").read_text())
    assert {name: result[name] for name in written} == written


def test_samples_are_those_of_the_command_sample(run, tmp_path):
    assert main(["figures", "runs/a", "--quiet"]) == 0
    assert main(["sample", "runs/a", "--quiet", "--out", str(tmp_path / "x.png")]) == 0
    assert (run / "figures" / "samples.png").read_bytes() == (tmp_path / "x.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("metrics.jsonl", lambda text: text + "{}\n", "is not a row of metrics: delete that line"),
        (
            "metrics.jsonl",
            lambda text: text.replace('"split": "train"', '"split": 1'),
            "line 1 is not a row of metrics",
        ),
        (
            "summary.json",
            lambda text: re.sub(r'"elbo": [^,]+', '"elbo": "good"', text),
            "test.elbo is of the wrong kind",
        ),
    ],
)
def test_a_damaged_file_is_one_line(run, capsys, name, edit, words):
    whole = (run / name).read_text()
    assert edit(whole) != whole
    (run / name).write_text(edit(whole))
    try:
        assert main(["figures", "runs/a", "--quiet"]) == 2
    finally:
        (run / name).write_text(whole)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


@pytest.mark.parametrize("command", ["figures", "sample"])
def test_a_checkpoint_is_read_once(run, monkeypatch, command):
    """Training may delete it meanwhile."""
    original, path = checkpoints.unseal, newest(run)
    whole = path.read_bytes()

    def read_and_delete(*args):
        found = original(*args)
        path.unlink()
        return found

    monkeypatch.setattr(checkpoints, "unseal", read_and_delete)
    try:
        assert main([command, "runs/a", "--quiet"]) == 0
    finally:
        path.write_bytes(whole)


def test_quiet_is_quiet(run, capsys):
    assert main(["figures", "runs/a", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def call(args, **environment):
    code = f"""
import sys
from vae_fn.cli import figures, main
main.COMMANDS["figures"] = figures
try: status = main.main({args})
except SystemExit as stop: status = stop.code or 0
print(*({{"torch", "matplotlib"}} & sys.modules.keys()))
sys.exit(status)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.parametrize("args", [["figures", "--help"], ["figures", "nowhere"]])
def test_neither_torch_nor_matplotlib_before_there_is_a_run(args):
    assert call(args).stdout.splitlines()[-1] == ""


def test_matplotlib_does_not_speak_of_its_cache(tmp_path):
    (tmp_path / "config.toml").write_text(to_toml(TrainConfig(hidden=8)))
    found = call(["figures", str(tmp_path)], MPLCONFIGDIR="/dev/null/none")
    assert set(found.stdout.split()) == {"matplotlib", "torch"}
    assert found.stderr.startswith(f"vae-fn figures: error: {tmp_path} has no checkpoint yet")
    assert found.stderr.count("\n") == 1


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["figures", "--help"])
    assert not stop.value.code
    out, _ = capsys.readouterr()
    for option in ("--checkpoint", "--key", "--device", "--json", "--quiet"):
        assert option in out
