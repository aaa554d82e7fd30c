"""Checkpoints: all that a run needs to go on, in one safetensors file, written atomically and checked when read.

The tensors are the training state and what the steps since the last row reported, under their paths, as in
`state/params/encoder/0.weight`, and the run's key; the rest stands in the file's metadata, as JSON.
"""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vae_fn import random, tree
from vae_fn.models import VAE
from vae_fn.run.folder import CHECKPOINTS, RunError, write_atomic
from vae_fn.types import Params, Tree

FORMAT = 1
"""Version of the format; a newer one is refused."""

BEST = "best.safetensors"
"""Name of the copy of the checkpoint with the best validation ELBO."""


class Record(NamedTuple):
    """What stands in a checkpoint besides tensors.

    Attributes:
        step: steps done.
        epoch: whole epochs done.
        batch: batches done of the epoch after those: the position in the data.
        rows: rows in `metrics.jsonl`.
        seconds: spent so far.
        skipped: steps skipped so far.
        best_elbo: the best validation ELBO so far, None without one.
        config: the settings, as TOML.
        environment: what numbers depend on besides.
        data: checksum of the training images.
        shape: of one image, as in the data's files.
    """

    step: int
    epoch: int
    batch: int
    rows: int
    seconds: float
    skipped: int
    best_elbo: float | None
    config: str
    environment: dict[str, Any]
    data: int
    shape: list[int]


class Checkpoint(NamedTuple):
    """A checkpoint as read.

    Attributes:
        tensors: the tree that was kept.
        record: the rest.
    """

    tensors: Tree
    record: Record


def save_checkpoint(run: Path, tensors: Tree, record: Record, *, keep_last: int, best: bool) -> Path:
    """Write the checkpoint of a step, then delete all but the newest.

    Args:
        run: the run's folder.
        tensors: the tree to keep.
        record: the rest.
        keep_last: how many to keep; `best.safetensors` is not counted.
        best: keep it as `best.safetensors` too. That is written first: whoever finds the checkpoint finds its copy.
    """
    named = {name: leaf.detach().cpu().contiguous() for name, leaf in tree.flat_names(tensors).items()}
    header = {"format": FORMAT, "checksum": checksum(named), "record": record._asdict()}
    content = save(named, metadata={"vae_fn": json.dumps(header)})
    path = run / CHECKPOINTS / f"step-{record.step:09d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    if best:
        write_atomic(path.with_name(BEST), content)
    write_atomic(path, content)
    for old in checkpoints(run)[keep_last:]:
        old.unlink()
    return path


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, the newest first; `best.safetensors` is not among them."""
    found = (run / CHECKPOINTS).glob("step-*.safetensors")
    return sorted((path for path in found if re.fullmatch(r"step-\d{9,}", path.stem)), key=_step, reverse=True)


def newest(run: Path) -> Path:
    """The newest checkpoint of a run.

    Raises:
        RunError: There is none yet.
    """
    if found := checkpoints(run):
        return found[0]
    raise RunError(f"{run} has no checkpoint yet: train it first, with --resume {run}")


def read_record(path: Path) -> Record:
    """What stands in a checkpoint besides tensors.

    Raises:
        RunError: As `read_checkpoint`.
    """
    return _read(path)[1]


def read_checkpoint(path: Path, like: Tree) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: the file.
        like: a tree of the expected structure, shapes and dtypes, as from `tree.shapes_of`; the first size of
            `pending` is not compared.

    Raises:
        RunError: the file is missing, truncated, damaged, foreign or of a newer version, or holds another tree; the
            message names the checkpoint before it, if there is one.
    """
    stored, record = _read(path)
    return Checkpoint(_as(path, stored, like), record)


def read_parameters(path: Path, vae: VAE) -> Params:
    """The parameters of a model from a checkpoint.

    Raises:
        RunError: as `read_checkpoint`.
    """
    prefix, stored = "state/params/", _read(path)[0]
    params = {name.removeprefix(prefix): leaf for name, leaf in stored.items() if name.startswith(prefix)}
    return _as(path, params, tree.shapes_of(vae.init, random.key(0)))


def checksum(named: Mapping[str, Tensor]) -> int:
    """CRC-32 over tensors in the order of their names."""
    value = 0
    for name in sorted(named):
        value = zlib.crc32(named[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return value


def _read(path: Path) -> tuple[dict[str, Tensor], Record]:
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["vae_fn"])
            if header["format"] > FORMAT:
                raise _refused(path, "was written by a newer version of vae_fn: update it")
            stored, record = {name: file.get_tensor(name) for name in file.keys()}, Record(**header["record"])  # noqa: SIM118
    except FileNotFoundError as fault:
        raise RunError(f"{path} does not exist: see {path.parent} for the checkpoints there are") from fault
    except (OSError, SafetensorError) as fault:
        raise _refused(path, f"is truncated or cannot be read ({fault})") from fault
    except (KeyError, TypeError, json.JSONDecodeError) as fault:
        raise _refused(path, "is not a checkpoint of vae_fn") from fault
    if checksum(stored) != header["checksum"]:
        raise _refused(path, "is damaged: its checksum is wrong")
    return stored, record


def _as(path: Path, stored: Mapping[str, Tensor], like: Tree) -> Tree:
    def describe(name: str, tensor: Tensor | None) -> str:
        if tensor is None:
            return "nothing"
        return f"{tensor.dtype} {tuple(tensor.shape)[name == 'pending' :]}"

    expected = tree.flat_names(like)
    for name in {**expected, **stored}:
        found, wanted = (describe(name, named.get(name)) for named in (stored, expected))
        if found != wanted:
            what = f"under '{name}' it has {found}, config.toml says {wanted}"
            raise RunError(f"{path} holds another model: {what}: restore that file")
    return tree.from_names(stored, like)


def _refused(path: Path, why: str) -> RunError:
    run = path.parent.parent
    older = [
        other for other in checkpoints(run) if not re.fullmatch(r"step-\d+", path.stem) or _step(other) < _step(path)
    ]
    advice = (
        f"go on from the one before it with --resume {older[0]}" if older else "there is none before it: train again"
    )
    return RunError(f"{path} {why}; {advice}")


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
