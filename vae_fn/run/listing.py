"""What the runs in a folder are and where they stand, read from their files without torch.

Symbolic links are not followed, and a run that cannot be read is listed as damaged.
"""

import fcntl
import json
import math
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from vae_fn.run.config import TrainConfig, from_toml
from vae_fn.run.folder import CHECKPOINTS, ENSEMBLE, NONFINITE, RunError, saved_steps

Value = TypeVar("Value")

LARGEST_HEADER = 100_000_000
"""Bytes of the longest header of a safetensors file, as its format says."""


class Listed(NamedTuple):
    """A run of a list; what is not known is None.

    Attributes:
        name: of its folder.
        state: `finished`, `running`, `stopped`, `not finite` (a step since its newest checkpoint was) or `damaged`.
        fault: what is damaged.
        preset: that its settings started from.
        data: that it is trained on.
        protocol: how pixels become targets.
        epochs: that it is to be trained for.
        epochs_done: whole epochs, at its newest checkpoint or the end.
        steps_done: training steps, likewise.
        seconds: spent on it, likewise.
        elbo: of the test images at the end, in nats per image.
        kl: likewise.
    """

    name: str
    state: str
    fault: str | None = None
    preset: str | None = None
    data: str | None = None
    protocol: str | None = None
    epochs: int | None = None
    epochs_done: int | None = None
    steps_done: int | None = None
    seconds: float | None = None
    elbo: float | None = None
    kl: float | None = None


def list_runs(folder: Path) -> list[Listed]:
    """The runs in a folder and in its ensembles, the newest last; a member's name begins with that of its ensemble.

    Raises:
        RunError: It is no folder of runs.
    """
    if not folder.exists():
        raise RunError(f"{folder} does not exist: train a model first, or give the folder that your runs are in")
    if not folder.is_dir():
        raise RunError(f"{folder} is a file: give the folder that your runs are in")
    if (folder / "config.toml").exists():
        raise RunError(f"{folder} is a run itself: give the folder that it is in, {folder.resolve().parent}")
    runs = sorted(_runs(folder), key=lambda run: (_begun(run), str(run)))
    return [list_run(run)._replace(name=str(run.relative_to(folder))) for run in runs]


def list_run(run: Path) -> Listed:
    """One run."""
    try:
        config = _parsed(run / "config.toml", lambda file: from_toml(_content(file).decode()))
        running = _is_held(run)
        if not running and _exists(run / "summary.json"):
            return _finished(run.name, config, _parsed(run / "summary.json", _summary))
        record = _newest_record(run)
    except RunError as fault:
        return Listed(run.name, "damaged", str(fault))
    lost = any(step > record["steps_done"] for step in saved_steps(run / NONFINITE))
    state = "running" if running else "not finite" if lost else "stopped"
    return _described(run.name, state, config)._replace(**record)


def _runs(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path, hidden = Path(entry.path), entry.name.startswith(".")
            if hidden or not entry.is_dir(follow_symlinks=False):
                continue
            if _exists(path / "config.toml"):
                yield path
            elif _exists(path / ENSEMBLE):
                yield from _runs(path)


def _begun(run: Path) -> float:
    """When a run was begun: its environment is written then and never again."""
    file = run / "environment.json"
    return (file if _exists(file) else run / "config.toml").lstat().st_mtime


def _is_held(run: Path) -> bool:
    """Whether a process is writing the run; see `folder.hold`."""
    folder = os.open(run, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def _described(name: str, state: str, config: TrainConfig) -> Listed:
    return Listed(name, state, None, config.preset, config.data, config.binarise, config.epochs)


def _finished(name: str, config: TrainConfig, summary: dict[str, Any]) -> Listed:
    return _described(name, "finished", config)._replace(epochs_done=config.epochs, **summary)


def _summary(file: Path) -> dict[str, Any]:
    summary = json.loads(_content(file))
    numbers = {"seconds": summary["seconds"], "elbo": summary["test"]["elbo"], "kl": summary["test"]["kl"]}
    return {"steps_done": int(summary["steps"])} | {name: _finite(value) for name, value in numbers.items()}


def _newest_record(run: Path) -> dict[str, Any]:
    """Where the newest checkpoint stands; one that is deleted meanwhile has a newer one."""
    found = saved_steps(run / CHECKPOINTS)
    for step in sorted(found, reverse=True):
        if _exists(found[step]):
            return _parsed(found[step], _record)
    return {"epochs_done": 0, "steps_done": 0}


def _record(file: Path) -> dict[str, Any]:
    """The record in the header of a checkpoint, which is JSON behind its length in eight bytes."""
    (length,) = struct.unpack("<Q", _content(file, 8))
    header = json.loads(_content(file, 8 + min(length, LARGEST_HEADER))[8:])
    record = json.loads(header["__metadata__"]["vae_fn"])["record"]
    return {
        "epochs_done": int(record["epoch"]),
        "steps_done": int(record["step"]),
        "seconds": _finite(record["seconds"]),
    }


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _parsed(file: Path, parse: Callable[[Path], Value]) -> Value:
    try:
        return parse(file)
    except OSError as fault:
        raise RunError(f"{file.name}: {fault.strerror}") from fault
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError, struct.error) as fault:
        raise RunError(f"{file.name}: {' '.join(str(fault).split()) or 'it is empty'}") from fault


def _exists(file: Path) -> bool:
    return os.path.lexists(file)


def _content(file: Path, most: int = -1) -> bytes:
    """The first bytes of a plain file that is no link; a pipe is not waited for."""
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as content:
        if not stat.S_ISREG(os.fstat(content.fileno()).st_mode):
            raise ValueError("it is not a plain file")
        return content.read(most)
