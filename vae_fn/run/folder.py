"""The run folder: making and finding it, and the files that describe a run.

A run is a folder with a `config.toml`. Nothing else is ever deleted.
"""

import contextlib
import difflib
import errno
import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vae_fn.errors import UserError
from vae_fn.run.checks import ConfigError, check_name
from vae_fn.run.config import TrainConfig, read_toml

CHECKPOINTS = "checkpoints"
"""Where in a run's folder its checkpoints are."""

NONFINITE = "nonfinite"
"""Where in a run's folder the steps are that were not finite."""

ENSEMBLE = "ensemble.json"
"""The file that says which runs in a folder are the members of an ensemble."""

TEMPORARY = ".tmp"
"""How the names of files end that are being written."""


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
    temporary = target.with_name(f".{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def as_json(content: dict[str, Any]) -> str:
    """JSON for people to read, and for machines."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def sweep(run: Path) -> None:
    """Remove the unfinished files that a killed process left in a run, which this process must hold."""
    for folder in (run, *(run / name for name in (CHECKPOINTS, "tensorboard", NONFINITE))):
        for file in folder.glob(f".*{TEMPORARY}"):
            if re.fullmatch(rf"\.[0-9a-f]{{32}}{re.escape(TEMPORARY)}", file.name) and file.is_file():
                file.unlink()


def create_run(runs_dir: Path, name: str, files: Mapping[str, str], overwrite: bool = False) -> Path:
    """Make the folder of a new run with its first files in it, at once: of two calls with one name one succeeds.

    Args:
        runs_dir: Where runs are kept; made if need be.
        name: The run's name, a plain folder name.
        files: The contents of the files that make the folder a run, `config.toml` among them, by name; or those of an
            ensemble, whose members' names stand in front, as in `key-0/config.toml`.
        overwrite: Delete an earlier run or ensemble of that name, if it is one.

    Raises:
        ConfigError: The name is not a plain folder name.
        RunError: The folder exists and may not be deleted, or cannot be made.
    """
    check_name(name)
    path, making = runs_dir / name, runs_dir / f".{name}.{uuid.uuid4().hex}"
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        making.mkdir()
        for file, content in files.items():
            (making / file).parent.mkdir(exist_ok=True)
            write_atomic(making / file, content)
        if overwrite and os.path.lexists(path):
            _delete_run(path)
        if os.path.lexists(path):  # if it were an empty folder, the next line would replace it
            raise _in_the_way(path)
        making.rename(path)
    except OSError as fault:
        if isinstance(fault, FileExistsError) and fault.filename != str(making):
            raise RunError(f"{fault.filename} is a file, not a folder for runs: use another --runs-dir") from fault
        if fault.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise _in_the_way(path) from fault
        raise RunError(f"cannot make {path}: {fault.strerror}: use another --runs-dir") from fault
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return path


def members_of(folder: Path) -> list[Path]:
    """The runs that are the members of an ensemble.

    Raises:
        RunError: The folder is no ensemble, its description is damaged, or a member is missing.
    """
    file = folder / ENSEMBLE
    try:
        names = [member["name"] for member in json.loads(file.read_text(encoding="utf-8"))["members"]]
        for name in names:
            check_name(name)
    except FileNotFoundError as fault:
        raise RunError(f"{folder} has no {ENSEMBLE}, so it is not an ensemble") from fault
    except (ValueError, LookupError, TypeError, ConfigError) as fault:
        raise RunError(f"{file} is damaged: restore it, or go on with each member by itself") from fault
    runs = [folder / name for name in names]
    if gone := [run for run in runs if not (run / "config.toml").is_file()]:
        raise RunError(f"{gone[0]}, a member of {folder}, is missing: restore it, or go on with each other by itself")
    return runs


@contextlib.contextmanager
def hold_all(folders: Iterable[Path]) -> Iterator[None]:
    """`hold` several.

    Raises:
        RunError: Another process holds one of them.
    """
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(hold(folder))
        yield


@contextlib.contextmanager
def hold(run: Path) -> Iterator[None]:
    """Keep a run to this process while it writes; the hold ends with the process, however that ends.

    Raises:
        RunError: Another process holds the run.
    """
    folder = os.open(run, os.O_RDONLY)
    try:
        try:
            _lock(folder)
        except BlockingIOError as fault:
            raise RunError(f"{run} is being written by another process: wait for it or stop it first") from fault
        if not os.path.samestat(os.fstat(folder), os.stat(run)):
            raise RunError(f"{run} was replaced by another process meanwhile: see what is there, and start again")
        yield
    finally:
        os.close(folder)


def _sync(folder: Path) -> None:
    """Make names in a folder last through a loss of power."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _lock(folder: int) -> None:
    """Lock an open folder; who only looks whether it is locked holds it for an instant, so try twice."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_run(path: Path) -> Path:
    """Return the path if it is a run's folder.

    Raises:
        RunError: It is not; the message lists runs of a similar name beside it or in `runs/` there.
    """
    if (path / "config.toml").is_file():
        return path
    if (path / ENSEMBLE).is_file():
        raise RunError(f"{path} is an ensemble: give a run of `vae-fn runs {path}`, such as {members_of(path)[0]}")
    places = (path.parent, path.parent / "runs")
    runs = {found.parent.name: found.parent for place in places for found in sorted(place.glob("[!.]*/config.toml"))}
    near = [str(runs[name]) for name in difflib.get_close_matches(path.name, runs, n=3)]
    what = "has no config.toml, so it is not a run" if path.exists() else "does not exist"
    raise RunError(f"{path} {what}." + (f" Did you mean {' or '.join(near)}?" if near else " Give a run's folder."))


def run_of(place: Path) -> Path:
    """The run that a place, which is a run's folder or a checkpoint in it, belongs to.

    Raises:
        RunError: It belongs to none.
    """
    inside = place.suffix == ".safetensors" and place.parent.name == CHECKPOINTS
    return open_run(place.parent.parent if inside else place)


def saved_steps(folder: Path) -> dict[int, Path]:
    """The files of steps in a folder, by step, such as its checkpoints; none where there is no such folder."""
    name = re.compile(r"step-\d{9,}\.safetensors")
    return {int(path.stem.removeprefix("step-")): path for path in folder.glob("step-*") if name.fullmatch(path.name)}


def read_config(run: Path) -> TrainConfig:
    """Read a run's settings.

    Raises:
        ConfigError: Its `config.toml` is damaged or from another version; the message names the file.
    """
    return read_toml(run / "config.toml")


def _in_the_way(path: Path) -> RunError:
    if not any((path / name).is_file() for name in ("config.toml", ENSEMBLE)):
        return RunError(f"{path} exists and is not a run: choose another --name")
    on = f"--resume {path}{' and more --epochs' if (path / 'summary.json').is_file() else ''}"
    return RunError(f"{path} exists: go on with it by {on}, choose another --name, or --overwrite to delete it first")


def _delete_run(path: Path) -> None:
    """Delete a run or an ensemble that no process is writing; it goes as a whole or stays."""
    ways = "delete it by hand, or choose another --name"
    if path.is_symlink():
        raise RunError(f"{path} is a symbolic link, and what it leads to is not deleted: {ways}")
    try:
        runs = members_of(path) if (path / ENSEMBLE).is_file() else [path]
        for run in runs:
            read_config(run)
    except (UserError, OSError) as fault:
        raise RunError(f"{path} exists and is not a run of this version: {ways}") from fault
    if others := sorted({file.parent for file in path.rglob("config.toml")} - set(runs)):
        raise RunError(f"{others[0]} would go with {path}: move it elsewhere first, or choose another --name")
    with hold_all({path, *runs}):
        shutil.rmtree(path.rename(path.with_name(f".{path.name}.{uuid.uuid4().hex}")))
