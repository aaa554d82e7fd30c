"""The run folder: making and finding it, and the files that describe a run.

A run is a folder with a `config.toml`. Nothing else is ever deleted.
"""

import difflib
import importlib.metadata
import json
import math
import numbers
import os
import platform
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_fn.errors import UserError
from vae_fn.run.config import ConfigError, TrainConfig, check_name, from_toml

METRICS = (
    "step",
    "epoch",
    "split",
    "protocol",
    "elbo",
    "reconstruction",
    "kl",
    "loss",
    "grad_norm",
    "seconds",
    "examples_per_second",
)
"""The keys of a row of `metrics.jsonl`, in order; `nonfinite` follows them."""


class RunError(UserError):
    """A run folder that is missing, in the way, or damaged."""


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that at every moment it holds its old content or the new one, and nothing between.

    A symbolic link is followed. Whatever fails, the old file stays and no temporary file is left.

    Raises:
        RunError: The path exists and is not a regular file.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise RunError(f"{path} is not a regular file: give another path")
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def create_run(runs_dir: Path, name: str, overwrite: bool = False) -> Path:
    """Make the folder of a new run; of two calls with one name, only one succeeds.

    Args:
        runs_dir: Where runs are kept; made if need be.
        name: The run's name, a plain folder name.
        overwrite: Delete an earlier run of that name, if a run is what it is.

    Raises:
        ConfigError: The name is not a plain folder name.
        RunError: The folder exists and may not be deleted, or cannot be made.
    """
    check_name(name)
    path = runs_dir / name
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        if overwrite and os.path.lexists(path):
            _delete_run(path)
        path.mkdir()
    except FileExistsError as fault:
        if fault.filename != str(path):
            raise RunError(f"{fault.filename} is a file, not a folder for runs: use another --runs-dir") from fault
        raise RunError(f"{path} exists: choose another --name, or --overwrite to delete that run first") from fault
    except OSError as fault:
        raise RunError(f"cannot make {path}: {fault.strerror}: use another --runs-dir") from fault
    return path


def open_run(path: Path) -> Path:
    """Return the path if it is a run's folder.

    Raises:
        RunError: It is not; the message lists runs of a similar name beside it or in `runs/` there.
    """
    if (path / "config.toml").is_file():
        return path
    places = (path.parent, path.parent / "runs")
    runs = {found.parent.name: found.parent for place in places for found in sorted(place.glob("*/config.toml"))}
    near = [str(runs[name]) for name in difflib.get_close_matches(path.name, runs, n=3)]
    what = "has no config.toml, so it is not a run" if path.exists() else "does not exist"
    raise RunError(f"{path} {what}." + (f" Did you mean {' or '.join(near)}?" if near else " Give a run's folder."))


def read_config(run: Path) -> TrainConfig:
    """Read a run's settings.

    Raises:
        ConfigError: Its `config.toml` is damaged or from another version; the message names the file.
    """
    file = run / "config.toml"
    try:
        return from_toml(file.read_text(encoding="utf-8"))
    except (ConfigError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{file}: {fault}") from fault


def with_nonfinite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each NaN and infinity by None, and name those keys in a further key `nonfinite`."""
    nonfinite = [key for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    return {key: None if key in nonfinite else value for key, value in values.items()} | {"nonfinite": nonfinite}


def metrics_row(**values: Any) -> str:
    """Return one row of `metrics.jsonl`, without its line end.

    Args:
        values: Any of `METRICS`; texts, and numbers of any kind that `float` takes. Absent ones become null.

    Raises:
        TypeError: A key is not one of `METRICS`.
    """
    if unknown := values.keys() - set(METRICS):
        raise TypeError(f"not metrics: {sorted(unknown)}; use {METRICS}")
    return json.dumps(with_nonfinite({key: _plain(values.get(key)) for key in METRICS}), allow_nan=False)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read a `metrics.jsonl`; a last row that was cut off in the writing is left out.

    Raises:
        RunError: Any other row is not a JSON object.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    return [_parse_row(path, number, line) for number, line in enumerate(lines[:-1], start=1)]


def environment(device: str, generator: str) -> dict[str, Any]:
    """Describe what a run's numbers depend on besides its settings.

    Args:
        device: The torch device of the run.
        generator: Name of the random number generator in use.
    """
    import torch

    processor = _processor()
    return {
        "python": platform.python_version(),
        "vae_fn": _version("vae-fn"),
        "torch": torch.__version__,
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "processor": processor,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else processor,
        "threads": torch.get_num_threads(),
        "generator": generator,
        "git": _checkout(Path(__file__).parent),
        "command": sys.argv,
    }


def _delete_run(path: Path) -> None:
    """Delete a folder whose `config.toml` is a run's."""
    try:
        if path.is_symlink():
            raise RunError("it is a symbolic link")
        read_config(path)
    except (UserError, OSError) as fault:
        raise RunError(
            f"{path} exists and is not a run of this version: delete it by hand, or choose another --name"
        ) from fault
    shutil.rmtree(path)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        row = None
    if not isinstance(row, dict):
        raise RunError(f"{path}, line {number} is not a row of metrics: delete that line")
    return row


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _checkout(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that a package's folder belongs to, and whether it has been changed; None without one."""

    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", folder, *args], check=True, capture_output=True, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", ".")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
