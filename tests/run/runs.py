"""Small real runs, in this process and in others, for the tests of what surrounds training."""

import json
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file

from vae_fn.run.config import TrainConfig
from vae_fn.run.metrics import read_metrics

TIMING = ("seconds", "examples_per_second")

COMMAND = "from vae_fn.cli.main import main; raise SystemExit(main())"


def write_images(folder, count=480):
    """Blurred blobs of 6 x 6 pixels, as a `.npy` file."""
    rng = np.random.default_rng(0)
    centres, grid = rng.uniform(1, 4, (count, 2, 1, 1)), np.mgrid[0:6, 0:6]
    blobs = np.exp(-((grid - centres) ** 2).sum(1) / rng.uniform(0.5, 3, (count, 1, 1)))
    path = folder / "blobs.npy"
    np.save(path, (255 * blobs).astype(np.uint8))
    return path


def options(folder, **settings):
    """The arguments of a small run, 20 steps an epoch."""
    defaults = {
        "data": folder / "blobs.npy",
        "runs_dir": folder / "runs",
        "name": "small",
        "epochs": 12,
        "batch_size": 16,
        "hidden": 8,
        "held_out": 80,
        "log_every": 7,
        "checkpoint_every": 11,
        "evaluation_draws": 2,
    }
    return [f"--{name.replace('_', '-')}={value}" for name, value in (defaults | settings).items()] + ["--no-compile"]


def settings(images, folder, **changes):
    fixed = {"data": str(images), "runs_dir": folder, "name": "small", "batch_size": 16, "hidden": 8, "held_out": 80}
    often = {"epochs": 2, "log_every": 7, "checkpoint_every": 9, "keep_last": 3, "evaluation_draws": 2}
    return TrainConfig(**fixed | often | {"compile": False, "tensorboard": False} | changes)


def start(*args, prelude=""):
    """A command of its own, whose output can be read at its end; `prelude` is run before it."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{prelude}\n{COMMAND}", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*args, prelude=""):
    """The exit status and stderr of a command."""
    process = start(*args, prelude=prelude)
    _, err = process.communicate(timeout=300)
    return process.returncode, err


def rows(run):
    return [{k: v for k, v in row.items() if k not in TIMING} for row in read_metrics(run / "metrics.jsonl")]


def summary(run):
    content = json.loads((run / "summary.json").read_text())
    return {name: value for name, value in content.items() if name != "seconds"}


def tensors(run):
    """Every checkpoint's tensors, by file."""
    return {path.name: load_file(path) for path in sorted((run / "checkpoints").glob("*.safetensors"))}


def check_equal(run, reference):
    """The run left what the reference left, bit for bit, and no row twice."""
    assert rows(run) == rows(reference)
    assert summary(run) == summary(reference)
    found, expected = tensors(run), tensors(reference)
    assert found.keys() == expected.keys()
    for file, named in expected.items():
        assert found[file].keys() == named.keys()
        for name, leaf in named.items():
            assert torch.equal(found[file][name], leaf), (file, name)
    assert not list(run.rglob(".*.tmp"))
