"""Checkpoints: all that a run needs to go on, in one safetensors file, written atomically and checked when read.

The tensors are the training state and what the steps since the last row reported, under their paths, as in
`state/params/encoder/0.weight`, and the run's key; the rest stands in the file's metadata, as JSON.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vae_fn import random, tree
from vae_fn.models import VAE
from vae_fn.run.folder import CHECKPOINTS, NONFINITE, RunError, saved_steps, write_atomic
from vae_fn.run.sealed import BrokenError, count, image_shape, seal, unseal
from vae_fn.types import Params, Shape, Tree

BEST = "best.safetensors"
"""Name of the copy of the checkpoint with the best validation ELBO."""


NEEDED = ("generator", "torch")
"""What an environment says at least."""


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
        data: checksum of the images.
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


class Model(NamedTuple):
    """A model as read.

    Attributes:
        vae: the model.
        params: its parameters.
        record: where its run stood.
    """

    vae: VAE
    params: Params
    record: Record


def save_checkpoint(run: Path, tensors: Tree, record: Record, *, keep_last: int, best: bool) -> Path:
    """Write the checkpoint of a step, then delete all but the newest up to it.

    Args:
        run: the run's folder.
        tensors: the tree to keep.
        record: the rest.
        keep_last: how many to keep; `best.safetensors` is not counted.
        best: keep it as `best.safetensors` too. That is written first: whoever finds the checkpoint finds its copy.
    """
    content = seal(tensors, record._asdict())
    path = run / CHECKPOINTS / f"step-{record.step:09d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    if best:
        write_atomic(path.with_name(BEST), content)
    write_atomic(path, content)
    older = [other for other in checkpoints(run) if _step(other) < record.step]
    for old in older[keep_last - 1 :]:
        old.unlink()
    return path


def forget_after(run: Path, step: int) -> None:
    """Delete the checkpoints of later steps, which a run that goes back to this step writes again."""
    for path in checkpoints(run):
        if _step(path) > step:
            path.unlink()


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
    raise without_checkpoint(run)


def without_checkpoint(run: Path) -> RunError:
    """What to do about a run that has no checkpoint; one that was lost before the first would be lost again."""
    if lost := min(saved_steps(run / NONFINITE), default=0):
        return RunError(
            f"{run} has no checkpoint, as step {lost} was not finite: see why with `vae-fn replay {run}`, then train "
            "anew under another --name with other settings, such as a lower --learning-rate"
        )
    return RunError(f"{run} has no checkpoint yet: train it first, with --resume {run}")


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
    return read_model(path, lambda shape: vae).params


def read_model(path: Path, make: Callable[[Shape], VAE]) -> Model:
    """A model, its parameters and the record from one reading, as the file may be deleted before another.

    Args:
        path: the file.
        make: the model for images of a shape.

    Raises:
        RunError: as `read_checkpoint`.
    """
    prefix, (stored, record) = "state/params/", _read(path)
    vae = make(tuple(record.shape))
    params = {name.removeprefix(prefix): leaf for name, leaf in stored.items() if name.startswith(prefix)}
    return Model(vae, _as(path, params, tree.shapes_of(vae.init, random.key(0))), record)


def _read(path: Path) -> tuple[dict[str, Tensor], Record]:
    try:
        stored, record = unseal(path, "checkpoint", _record)
    except FileNotFoundError as fault:
        raise RunError(f"{path} does not exist: see {path.parent} for the checkpoints there are") from fault
    except BrokenError as fault:
        raise _refused(path, str(fault)) from fault
    steps = stored.get("state/step")
    if steps is not None and steps.tolist() != record.step:
        raise _refused(path, f"is damaged: it is of step {record.step}, but its state is not")
    return stored, record


def _record(content: Any) -> Record:
    """A record from JSON, whose every value is checked."""
    record = Record(**content)
    for value in (record.step, record.epoch, record.batch, record.rows, record.skipped, record.data):
        count(value)
    if not all(isinstance(text, str) for text in (record.config, *(record.environment[name] for name in NEEDED))):
        raise TypeError("not a text")
    if not math.isfinite(record.seconds) or not math.isfinite(0 if record.best_elbo is None else record.best_elbo):
        raise ValueError("not finite")
    return record._replace(shape=list(image_shape(record.shape)))


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
    advice = "there is none before it: train again"
    if older:
        advice = f"go on from the one before it with --resume {older[0]}, or use it with --checkpoint {older[0].name}"
    return RunError(f"{path} {why}; {advice}")


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
