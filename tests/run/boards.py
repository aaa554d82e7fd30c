"""Boards of small runs, a TensorBoard server to show them, and what its pictures are checked against."""

import io
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import silu, softplus

from vae_fn import random
from vae_fn.run.config import TrainConfig
from vae_fn.run.tensorboard import Board

PAIRS = "images/originals_and_reconstructions"
SAMPLES = "images/prior_samples"
SHAPES = {"colour last": (4, 4, 3), "colour first": (3, 4, 4), "one channel": (7, 7, 1), "flat": (49,)}
CLASS = np.repeat(np.arange(10), 6)
SECONDS = 120
"""How long to wait for a server before the test fails."""


def write_images(folder, shape):
    """60 training images and 60 to test on, whose labels are sorted."""
    rng = np.random.default_rng(0)
    path = folder / f"{len(list(folder.iterdir()))}.npz"
    train, test = rng.choice([0, 1, 100, 127, 128, 254, 255], (2, 60, *shape)).astype(np.uint8)
    np.savez(path, x_train=train, y_train=CLASS, x_test=test, y_test=CLASS)
    return TrainConfig(
        data=str(path),
        runs_dir=folder,
        epochs=2,
        batch_size=20,
        hidden=8,
        log_every=2,
        compile=False,
        evaluation_draws=1,
    )


def chosen(images):
    """The first 50 images in the order in which the classes take turns."""
    return np.stack([images[label == CLASS][turn] for turn in range(5) for label in range(10)])


def perceptron(params, x):
    """Linear layers with SiLU between them."""
    layers = len(params) // 2
    for i in range(layers):
        x = x @ params[f"{2 * i}.weight"].T + params[f"{2 * i}.bias"]
        x = silu(x) if i < layers - 1 else x
    return x


def encoded(params, images):
    """The means and scales of the posterior."""
    raw = perceptron(params["encoder"], torch.tensor(images.reshape(len(images), -1)).double() / 255 - 0.5)
    loc, scale = raw.chunk(2, 1)
    return loc, softplus(scale)


def decoded(params, z):
    """The mean of the decoder."""
    return perceptron(params["decoder"], z).sigmoid().numpy()


def show(folder, parts, steps, sitting=0, board_type=Board):
    """A sitting of a run without training: a picture at each step, and then a last row."""
    with board_type(folder, parts, sitting) as board:
        for step in steps:
            board.pictures(parts.vae.init(parts.streams.init), step)
        board.scalars({"split": "end", "step": 0, "elbo": 0.0})


class CentredBoard(Board):
    """The tutorial's fault: originals are shown as the encoder sees them, and what is below 0 is cut off."""

    def __init__(self, *args):
        super().__init__(*args)
        self._x = (self._x - 0.5).clamp(0, 1)


class FreshBoard(Board):
    """New noise at every epoch."""

    def pictures(self, params, step):
        self._prior_noise = random.normal(random.key(step), tuple(self._prior_noise.shape))
        super().pictures(params, step)


class FullBoard(Board):
    """A board on a disk that is full from now on."""

    def __init__(self, *args):
        super().__init__(*args)
        self._file.close()
        self._file = Path("/dev/full").open("wb")  # noqa: SIM115


def stop_and_go_on(folder, parts):
    """A run that went to step 5 and was killed in the middle of a record, then taken up at step 2."""
    with Board(folder, parts, 0) as board:
        for step in range(1, 6):
            board.scalars({"split": "train", "step": step, "elbo": -1.0, "skipped": 1 if step > 3 else 0})
        board.pictures(parts.vae.init(parts.streams.init), 2)
        board.pictures(parts.vae.init(parts.streams.init), 4)
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:-5])
    longer = parts._replace(config=replace(parts.config, epochs=77))
    with Board(folder, longer, 2) as board:
        for step in (3, 4):
            kl = [float(i) for i in range(40)]
            board.scalars({"split": "train", "step": step, "elbo": -2.0, "kl": float("nan"), "kl_by_dimension": kl})
        board.pictures(parts.vae.init(parts.streams.init), 4)
    show(folder, longer, [], sitting=5)


class Server:
    """A TensorBoard process, and how to ask it."""

    def __init__(self, logs, output):
        options = ["--host=127.0.0.1", "--port=0", "--load_fast=false", "--samples_per_plugin=images=100"]
        self.output = output
        command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}", *options]
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def wait_for(self, runs):
        """Wait until the last row of every run is there."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(r"http://[\d.]+:\d+/", self.output.read_text())):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)
        self.address = found[0]
        while {run for run, tags in self.json("scalars/tags").items() if "end/elbo" in tags} != runs:
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def get(self, route, query=""):
        with self.opener.open(f"{self.address}data/plugin/{route}?{query}", timeout=30) as answer:
            return answer.read()

    def json(self, route, **query):
        return json.loads(self.get(route, urllib.parse.urlencode(query)))

    def scalars(self, run, tag):
        return [(step, value) for _, step, value in self.json("scalars/scalars", run=run, tag=tag)]

    def pictures(self, run, tag):
        """The pictures by step, as uint8 of shape (h, w, 3)."""
        found = self.json("images/images", run=run, tag=tag, sample=0)
        files = {entry["step"]: self.get("images/individualImage", entry["query"]) for entry in found}
        assert len(files) == len(found)
        return {step: np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for step, file in files.items()}


def cells(picture, size, columns):
    """The pictures of a grid, whose neighbours are two white pixels apart."""
    gapped = np.pad(picture, ((0, 2), (0, 2), (0, 0)), constant_values=255)
    height, width = size
    rows = len(gapped) // (height + 2)
    table = gapped.reshape(rows, height + 2, columns, width + 2, 3).swapaxes(1, 2).reshape(-1, height + 2, width + 2, 3)
    assert (table[:, height:] == 255).all()
    assert (table[:, :, width:] == 255).all()
    return table[:, :height, :width]


def check_originals(picture, originals):
    """Every second picture is an image itself, pixel for pixel."""
    shown = cells(picture, originals.shape[1:3], 10)[::2]
    assert np.array_equal(shown, np.broadcast_to(originals.reshape(*originals.shape[:3], -1), shown.shape))


def check_rounded(shown, numbers):
    """The pictures are these numbers in [0, 1] to the nearest of 255 levels."""
    expected = numbers.reshape(*shown.shape[:-1], 1)
    assert np.abs(shown - 255 * expected).max() < 0.5 + 1e-3


def last_params(run):
    """The parameters at the end of a run, in float64."""
    path = max((run / "checkpoints").glob("step-*"))
    params = {}
    for name, leaf in load_file(path).items():
        if name.startswith("state/params/"):
            part, parameter = name.removeprefix("state/params/").split("/")
            params.setdefault(part, {})[parameter] = leaf.double()
    return params
