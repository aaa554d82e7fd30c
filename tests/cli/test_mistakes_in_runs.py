"""Mistakes with places, machines and finished runs: each is one line that says what to do, and nothing is lost."""

import errno
import os
import sys

import pytest

from tests.cli.workplace import check_mistake, cut, folder, removed, text
from vae_fn.cli.main import main
from vae_fn.run import recorder
from vae_fn.run.folder import hold

STOPPED = "runs/stopped/checkpoints/step-000000020.safetensors"

MISTAKES = [
    (
        None,
        "train --no-compile --data blobs.npy --runs-dir blobs.npy",
        "vae-fn train: error: blobs.npy is a file, not a folder for runs: use another --runs-dir",
    ),
    (
        None,
        "train --no-compile --data blobs.npy --runs-dir blobs.npy/runs",
        "vae-fn train: error: cannot make blobs.npy/runs/tutorial-0: Not a directory: use another --runs-dir",
    ),
    (
        None,
        "train --no-compile --data blobs.npy --runs-dir /proc/runs",
        "vae-fn train: error: cannot make /proc/runs/tutorial-0: No such file or directory: use another --runs-dir",
    ),
    (
        None,
        "train --no-compile --data blobs.npy --name done",
        "vae-fn train: error: runs/done exists: go on with it by --resume runs/done and more --epochs, choose another "
        "--name, or --overwrite to delete it first",
    ),
    (
        folder("runs/photos"),
        "train --no-compile --data blobs.npy --name photos --overwrite",
        "vae-fn train: error: runs/photos exists and is not a run of this version: delete it by hand, or choose "
        "another --name",
    ),
    (
        folder("runs/photos"),
        "train --no-compile --data blobs.npy --name photos",
        "vae-fn train: error: runs/photos exists and is not a run: choose another --name",
    ),
    (
        None,
        "train --no-compile --data blobs.npy --json no/out.json",
        "vae-fn train: error: --json must be a file in an existing folder that you may write to, not no/out.json",
    ),
    (
        None,
        "train --no-compile --data blobs.npy --json .",
        "vae-fn train: error: --json must be a file in an existing folder that you may write to, not .",
    ),
    (
        None,
        "train --no-compile --name done --overwrite --json runs/done/summary.json",
        "vae-fn train: error: --json must not be a file of the run itself, as runs/done/summary.json is: give "
        "another path",
    ),
    (
        removed("runs/stopped/checkpoints"),
        "evaluate runs/stopped",
        "vae-fn evaluate: error: runs/stopped has no checkpoint yet: train it first, with --resume runs/stopped",
    ),
    (
        cut(STOPPED, 1000),
        "evaluate runs/stopped",
        "vae-fn evaluate: error: runs/stopped/checkpoints/step-000000020.safetensors is truncated or cannot be "
        "read (...); there is none before it: train again",
    ),
    (
        None,
        "evaluate done",
        "vae-fn evaluate: error: done does not exist. Did you mean runs/done?",
    ),
    (
        None,
        "evaluate runs/dome",
        "vae-fn evaluate: error: runs/dome does not exist. Did you mean runs/done?",
    ),
    (
        None,
        "evaluate runs",
        "vae-fn evaluate: error: runs has no config.toml, so it is not a run. Give a run's folder.",
    ),
    (
        None,
        "evaluate blobs.npy",
        "vae-fn evaluate: error: blobs.npy has no config.toml, so it is not a run. Give a run's folder.",
    ),
    (
        None,
        "evaluate runs/done --device gpu",
        "vae-fn evaluate: error: --device 'gpu' is unknown: use cpu, cuda, cuda:1, mps or xpu",
    ),
    (
        None,
        "evaluate runs/done --json runs/done/summary.json",
        "vae-fn evaluate: error: --json must not be a file of the run itself, as runs/done/summary.json is: give "
        "another path",
    ),
    (
        text("runs/done/config.toml", "x"),
        "evaluate runs/done",
        "vae-fn evaluate: error: runs/done/config.toml: not valid TOML (...): compare it with what `vae-fn train "
        "--print-config` prints",
    ),
]
"""What is set up, the command, and the line."""


@pytest.mark.parametrize(("setup", "command", "line"), MISTAKES)
def test_a_mistake_is_one_line(setup, command, line, here, base, capsys):
    if setup:
        setup(here)
    check_mistake(main, command, line.replace("{base}", str(base)), here, capsys)


def silent(args):
    return 2


def two_lines(args):
    print("a\nb", file=sys.stderr)
    return 2


def untidy(args):
    os.mkdir("left")
    return main(args)


def destructive(args):
    os.remove(STOPPED)
    return main(args)


def talkative(args):
    print("error")
    return main(args)


@pytest.mark.parametrize("mutant", [silent, two_lines, untidy, destructive, talkative])
def test_check_mistake_rejects(mutant, here, capsys):
    with pytest.raises(AssertionError):
        check_mistake(
            mutant,
            "train --resume nowhere",
            "vae-fn train: error: nowhere does not exist. Give a run's folder.",
            here,
            capsys,
        )


@pytest.mark.parametrize(
    "command", ["train --resume runs/stopped", "train --no-compile --data blobs.npy --name stopped --overwrite"]
)
def test_a_run_that_another_process_writes_is_one_line(command, here, capsys):
    line = "vae-fn train: error: runs/stopped is being written by another process: wait for it or stop it first"
    with hold(here / "runs" / "stopped"):
        check_mistake(main, command, line, here, capsys)


@pytest.mark.parametrize(
    "command", ["train --no-compile --data blobs.npy", "train --resume runs/stopped", "evaluate runs/done"]
)
def test_a_device_that_is_not_there_is_one_line(command, here, capsys):
    name = command.partition(" ")[0]
    line = f"vae-fn {name}: error: --device 'cuda:99' cannot be used here (...): use another --device, such as cpu"
    check_mistake(main, f"{command} --device cuda:99", line, here, capsys)


@pytest.mark.parametrize("command", ["train --data blobs.npy", "train --resume runs/stopped --compile"])
def test_no_compiler_is_one_line(command, here, capsys, monkeypatch):
    monkeypatch.setenv("CXX", "/nonexistent")
    line = (
        "vae-fn train: error: the step cannot be compiled here, as there is no C++ compiler '/nonexistent': "
        "install g++, or name yours in CXX, or use --no-compile"
    )
    check_mistake(main, command, line, here, capsys)


def test_a_full_disk_is_one_line_and_the_run_goes_on_afterwards(here, capsys, monkeypatch):
    place = str(here / STOPPED)

    def full(*args, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", full)
        assert main(["train", "--resume", "runs/stopped", "--quiet"]) == 2
    assert capsys.readouterr() == (
        "",
        f"vae-fn train: error: {place}: No space left on device: mend that, "
        "then go on from step 20 with --resume runs/stopped\n",
    )
    assert main(["train", "--resume", "runs/stopped", "--quiet"]) == 0
    assert (here / "runs" / "stopped" / "summary.json").exists()
