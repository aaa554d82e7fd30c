"""Mistakes with runs to go on with and with settings from files: each is one line, and nothing is lost."""

import pytest

from tests.cli.workplace import all_of, check_mistake, copied, cut, reheaded, replaced, text
from vae_fn.cli.main import main

STOPPED = "runs/stopped/checkpoints/step-000000020.safetensors"
DONE = "runs/done/checkpoints/step-000000040.safetensors"

MISTAKES = [
    (
        None,
        "train --resume nowhere",
        "vae-fn train: error: nowhere does not exist. Give a run's folder.",
    ),
    (
        None,
        "train --resume stopped",
        "vae-fn train: error: stopped does not exist. Did you mean runs/stopped?",
    ),
    (
        None,
        "train --resume runs",
        "vae-fn train: error: runs has no config.toml, so it is not a run. Give a run's folder.",
    ),
    (
        None,
        "train --resume blobs.npy",
        "vae-fn train: error: blobs.npy has no config.toml, so it is not a run. Give a run's folder.",
    ),
    (
        None,
        "train --resume runs/done",
        "vae-fn train: error: runs/done is finished: see it with `vae-fn evaluate runs/done`, or train on with "
        "more --epochs",
    ),
    (
        None,
        "train --resume runs/stopped --hidden 16",
        "vae-fn train: error: --hidden is 8 in runs/stopped and 16 here: a resumed run keeps its settings; leave "
        "--hidden out, or start a new run under another --name",
    ),
    (
        None,
        "train --resume runs/stopped --epochs 1",
        "vae-fn train: error: --epochs is 2 in runs/stopped and 1 here: a resumed run keeps its settings; leave "
        "--epochs out, or start a new run under another --name",
    ),
    (
        None,
        "train --resume runs/stopped --samples 4",
        "vae-fn train: error: --samples is 1 in runs/stopped and 4 here: a resumed run keeps its settings; leave "
        "--samples out, or start a new run under another --name",
    ),
    (
        None,
        "train --resume runs/stopped --skip-nonfinite",
        "vae-fn train: error: --skip-nonfinite is off in runs/stopped and on here: a resumed run keeps its settings; "
        "leave --skip-nonfinite out, or start a new run under another --name",
    ),
    (
        None,
        "train --resume runs/stopped --epcohs 3",
        "vae-fn train: error: unknown option '--epcohs'. Did you mean --epochs?",
    ),
    (
        None,
        "train --resume",
        "vae-fn train: error: --resume needs a value: a path.",
    ),
    (
        None,
        "train --resume --exact",
        "vae-fn train: error: --resume needs a value: a path.",
    ),
    (
        None,
        "train quick --resume runs/stopped",
        "vae-fn train: error: the preset quick and the settings of a run or a file exclude each other: leave out one.",
    ),
    (
        None,
        "train --resume runs/stopped quick",
        "vae-fn train: error: unexpected argument 'quick': it belongs to no option, see --help.",
    ),
    (
        None,
        "train --exact",
        "vae-fn train: error: --exact says how to resume: give the run by --resume RUN",
    ),
    (
        None,
        "train --resume runs/stopped --overwrite",
        "vae-fn train: error: --resume goes on with a run and --overwrite deletes it: use one of them",
    ),
    (
        None,
        "train --resume runs/stopped --config runs/done/config.toml",
        "vae-fn train: error: a resumed run has its own settings: use --resume without --config",
    ),
    (
        None,
        "train --resume runs/stopped --json runs/stopped/metrics.jsonl",
        "vae-fn train: error: --json must not be a file of the run itself, as runs/stopped/metrics.jsonl is: give "
        "another path",
    ),
    (
        None,
        "train --resume runs/stopped/checkpoints/step-000000020.safetensors --json runs/stopped/metrics.jsonl",
        "vae-fn train: error: --json must not be a file of the run itself, as runs/stopped/metrics.jsonl is: give "
        "another path",
    ),
    (
        None,
        "train --resume runs/stopped/checkpoints/step-000000021.safetensors",
        "vae-fn train: error: runs/stopped/checkpoints/step-000000021.safetensors does not exist: see "
        "runs/stopped/checkpoints for the checkpoints there are",
    ),
    (
        cut(STOPPED, 1000),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/checkpoints/step-000000020.safetensors is truncated or cannot be read "
        "(...); there is none before it: train again",
    ),
    (
        cut(DONE, 1000),
        "train --resume runs/done",
        "vae-fn train: error: runs/done/checkpoints/step-000000040.safetensors is truncated or cannot be read "
        "(...); go on from the one before it with --resume runs/done/checkpoints/step-000000020.safetensors, or "
        "use it with --checkpoint step-000000020.safetensors",
    ),
    (
        text(STOPPED, "words"),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/checkpoints/step-000000020.safetensors is truncated or cannot be read "
        "(...); there is none before it: train again",
    ),
    (
        reheaded(STOPPED, format=2),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/checkpoints/step-000000020.safetensors was written by a newer version "
        "of vae_fn: update it; there is none before it: train again",
    ),
    (
        reheaded(STOPPED, checksum=0),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/checkpoints/step-000000020.safetensors is damaged: its checksum is "
        "wrong; there is none before it: train again",
    ),
    (
        replaced("runs/stopped/config.toml", "key = 0", "key = 1"),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/checkpoints/step-000000020.safetensors has another key than "
        "config.toml: restore that file",
    ),
    (
        replaced("runs/stopped/config.toml", "key = 0", "key = 0\nkeys = 0"),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/config.toml: unknown setting 'keys': remove it, or see `vae-fn train "
        "--help` for the names",
    ),
    (
        text("runs/stopped/config.toml", b"\xff"),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/config.toml: not a text, let alone TOML: give a file as --print-config "
        "writes it",
    ),
    (
        cut("runs/stopped/metrics.jsonl", 100),
        "train --resume runs/stopped",
        "vae-fn train: error: runs/stopped/metrics.jsonl has 0 rows, but 4 were written: restore the file, or "
        "train again",
    ),
    (
        None,
        "train --config",
        "vae-fn train: error: --config needs a value: a path.",
    ),
    (
        None,
        "train --config nowhere.toml",
        "vae-fn train: error: nowhere.toml: No such file or directory: --config takes a TOML file, as "
        "--print-config writes",
    ),
    (
        None,
        "train --config runs",
        "vae-fn train: error: runs: Is a directory: --config takes a TOML file, as --print-config writes",
    ),
    (
        None,
        "train quick --config runs/done/config.toml",
        "vae-fn train: error: the preset quick and the settings of a run or a file exclude each other: leave out one.",
    ),
    (
        None,
        "train --config blobs.npy",
        "vae-fn train: error: blobs.npy: not a text, let alone TOML: give a file as --print-config writes it",
    ),
    (
        text("my.toml", "epochs = "),
        "train --config my.toml",
        "vae-fn train: error: my.toml: not valid TOML (...): compare it with what `vae-fn train --print-config` prints",
    ),
    (
        text("my.toml", "epochs = 3"),
        "train --config my.toml",
        "vae-fn train: error: my.toml: the setting 'preset' is missing: add it",
    ),
    (
        text("my.toml", "epoch = 3"),
        "train --config my.toml",
        "vae-fn train: error: my.toml: unknown setting 'epoch': remove it, or see `vae-fn train --help` for the names",
    ),
    (
        all_of(copied("runs/done/config.toml", "my.toml"), replaced("my.toml", "epochs = 2", "epochs = '2'")),
        "train --config my.toml",
        "vae-fn train: error: my.toml: epochs must be a whole number, not '2'",
    ),
    (
        None,
        "train --config runs/done/config.toml",
        "vae-fn train: error: {base}/runs/done exists: go on with it by --resume {base}/runs/done and more "
        "--epochs, choose another --name, or --overwrite to delete it first",
    ),
]
"""What is set up, the command, and the line."""


@pytest.mark.parametrize(("setup", "command", "line"), MISTAKES)
def test_a_mistake_is_one_line(setup, command, line, here, base, capsys):
    if setup:
        setup(here)
    check_mistake(main, command, line.replace("{base}", str(base)), here, capsys)
