"""A folder to make mistakes in: images, a finished run and one that was stopped."""

import gzip
import json
import re
import shutil

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.run.runs import options, write_images
from vae_fn.cli.main import main


def make_workplace(folder):
    """`blobs.npy` (480 images; 400 to train on, of which the runs hold out 80), `runs/done` and `runs/stopped`."""
    write_images(folder)
    settings = {"epochs": 2, "checkpoint_every": 0, "evaluation_draws": 1, "name": "done"}
    assert main(["train", *options(folder, **settings), "--quiet", "--no-tensorboard"]) == 0
    shutil.copytree(folder / "runs" / "done", folder / "runs" / "stopped")
    (folder / "runs" / "stopped" / "summary.json").unlink()
    (folder / "runs" / "stopped" / "checkpoints" / "step-000000040.safetensors").unlink()


def contents(folder):
    """What lies under a folder: the bytes of files, None for folders."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check_mistake(run, command, line, here, capsys):
    """One line on stderr, exit status 2, and nothing else; what stands in the line's `(...)` is a library's to say."""
    before = contents(here)
    assert run(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(re.escape(line).replace(re.escape("(...)"), r"\(.+\)") + r"\n", err), err
    assert contents(here) == before


def array(name, values):
    """A set-up that saves an array."""
    return lambda folder: np.save(folder / name, values, allow_pickle=values.dtype == object)


def arrays(name, **values):
    """A set-up that saves an archive."""
    return lambda folder: np.savez(folder / name, **values)


def text(name, content):
    """A set-up that writes a file."""

    def write(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def replaced(name, old, new):
    """A set-up that edits a file."""

    def edit(folder):
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new, 1))

    return edit


def cut(name, size):
    """A set-up that cuts a file short."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def copied(name, to):
    """A set-up that copies a file."""
    return lambda folder: shutil.copy(folder / name, folder / to)


def removed(name):
    """A set-up that deletes a file or folder."""
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def folder(name):
    """A set-up that makes a folder."""
    return lambda place: (place / name).mkdir(parents=True)


def all_of(*setups):
    """Set-ups one after the other."""

    def setup(folder):
        for one in setups:
            one(folder)

    return setup


def reheaded(name, **changes):
    """A set-up that changes what a checkpoint says of itself."""

    def edit(place):
        with safe_open(place / name, "pt") as file:
            header = json.loads(file.metadata()["vae_fn"])
        save_file(load_file(place / name), place / name, metadata={"vae_fn": json.dumps(header | changes)})

    return edit


def zipped_idx(folder):
    """Images as IDX, compressed and then cut short."""
    pixels = np.load(folder / "blobs.npy")
    content = b"\0\0\x08\x03" + np.array(pixels.shape, ">u4").tobytes() + pixels.tobytes()
    (folder / "idx").mkdir()
    (folder / "idx" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, mtime=0)[:900])
