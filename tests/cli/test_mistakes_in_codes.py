"""Mistakes with `vae-fn sample`, `reconstruct`, `encode` and `runs`."""

import subprocess
import sys

import pytest

from tests.run.trained import write_images
from vae_fn.cli.main import main
from vae_fn.run.config import TrainConfig, to_toml

NO_PLACE = "must be a file in an existing folder that you may write to, not"
MISTAKES = [
    ("sample", "vae-fn sample: error: missing argument: RUN, see --help."),
    ("sample runs/b", "vae-fn sample: error: runs/b does not exist."),
    ("sample runs", "vae-fn sample: error: runs has no config.toml, so it is not a run."),
    ("sample runs/a", "vae-fn sample: error: runs/a has no checkpoint yet: train it first, with --resume runs/a"),
    ("sample runs/a --cuont 3", "vae-fn sample: error: unknown option '--cuont'. Did you mean --count?"),
    ("sample runs/a 3", "vae-fn sample: error: unexpected argument '3'"),
    ("sample runs/a --count 0", "vae-fn sample: error: --count must be positive and at most 1000000, not 0"),
    ("sample runs/a --count 10000000 --out x.npy", "vae-fn sample: error: --count must be positive and at most"),
    (
        "sample runs/a --count 2000",
        "vae-fn sample: error: --count must be at most 1024 in a picture, not 2000: use --out",
    ),
    ("sample runs/a --key -1", "vae-fn sample: error: --key must lie between 0 and 2^63 - 1, not -1"),
    ("sample runs/a --device tpu", "vae-fn sample: error: --device 'tpu' is unknown: use cpu, cuda"),
    (
        "sample runs/a --out x.jpg",
        "vae-fn sample: error: --out must end in .png or .svg or .npz or .npy, which says what",
    ),
    ("sample runs/a --out .", "vae-fn sample: error: --out must end in .png or .svg or .npz or .npy, which says what"),
    ("sample runs/a --out folder.png", f"vae-fn sample: error: --out {NO_PLACE} folder.png"),
    ("sample runs/a --out no/x.png", f"vae-fn sample: error: --out {NO_PLACE} no/x.png"),
    ("sample runs/a --out circle.png", f"vae-fn sample: error: --out {NO_PLACE} circle.png"),
    ("sample runs/a --out astray.png", f"vae-fn sample: error: --out {NO_PLACE} astray.png"),
    ("sample runs/a --out pipe.npz", f"vae-fn sample: error: --out {NO_PLACE} pipe.npz"),
    (f"sample runs/a --out {'x' * 300}.png", f"vae-fn sample: error: --out {NO_PLACE} xxx"),
    (
        "sample runs/a --out images.npy",
        "vae-fn sample: error: --out must not be the file of the images, as images.npy is",
    ),
    ("sample runs/a --checkpoint ../x", "vae-fn sample: error: ../x is not in runs/a/checkpoints: give newest, best,"),
    ("sample runs/a --checkpoint best", "vae-fn sample: error: runs/a has no best checkpoint, which takes a run with"),
    ("reconstruct runs/a --split tset", "vae-fn reconstruct: error: --split takes one of all, train, test, not 'tset'"),
    ("reconstruct runs/a --out x.npy", "vae-fn reconstruct: error: --out must end in .png or .svg or .npz, which says"),
    ("reconstruct runs/a --json no/x.json", f"vae-fn reconstruct: error: --json {NO_PLACE} no/x.json"),
    ("reconstruct runs/a --json runs/a/config.toml", "vae-fn reconstruct: error: --json must not be a file of the run"),
    ("encode runs/a --out x.csv", "vae-fn encode: error: --out must end in .npz, which says what is written, not x"),
    (
        "encode runs/a --data x.npz --out x.npz",
        "vae-fn encode: error: --out must not be the file of the images, as x.npz",
    ),
    ("encode runs/a --binary", "vae-fn encode: error: unknown option '--binary'."),
    ("runs nowhere", "vae-fn runs: error: nowhere does not exist: train a model first, or give the folder that your"),
    ("runs images.npy", "vae-fn runs: error: images.npy is a file: give the folder that your runs are in"),
    ("runs runs/a", "vae-fn runs: error: runs/a is a run itself: give the folder that it is in, "),
    ("runs --json runs/a/config.toml", "vae-fn runs: error: --json must not be in the folder of a run"),
]


@pytest.mark.parametrize(("command", "line"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(command, line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.toml").write_text(to_toml(TrainConfig(data="images.npy", hidden=8)))
    write_images(tmp_path / "images.npy", count=10)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "astray.png").symlink_to("no/x.png")
    (tmp_path / "pipe.npz").symlink_to("/dev/null")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert main(command.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert "Traceback" not in err
    after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    after.pop(tmp_path / "runs" / "a" / "figures", None)
    assert after == before


def test_an_unwritable_folder_is_refused_before_the_work(here, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["encode", "runs/done", "--out", "x.npz"]) == 2
    assert f"--out {NO_PLACE} x.npz" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["sample", "--help"], ["encode", "nowhere"], ["reconstruct", "x", "--count", "0"]])
def test_no_torch_before_the_arguments_are_checked(args):
    code = f"""
import sys, vae_fn.cli.main as m
try: m.main({args!r})
except SystemExit: pass
assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
