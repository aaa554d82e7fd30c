"""Where commands write to: checked before the work, written at once."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_fn.run.checks import ConfigError
from vae_fn.run.folder import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg")
"""Endings of the files that hold a picture."""

REPORTED = ("samples", "reconstructions")
"""Figures of a run's report that a command of their own writes too."""

OWN = (
    *("config.toml", "environment.json", "metrics.jsonl", "summary.json", "report.html"),
    *("checkpoints", "tensorboard", "figures", "nonfinite"),
    *("ensemble.json", "curves.png", "curves.svg"),
)
"""Names in the folder of a run or an ensemble that are its own."""


def check_json(path: Path | None, run: Path | None) -> None:
    """Check `--json PATH`, as `check_file` does."""
    check_file("json", path, run)


def check_file(option: str, path: Path | None, run: Path | None) -> None:
    """Check that the file of an option can be written and is none of the run itself, there already or yet to come.

    Raises:
        ConfigError: It cannot, or it is.
    """
    if path is None:
        return
    _check_writable(option, path)
    if run is not None and _is_of_run(path.resolve(), run.resolve()):
        raise ConfigError(f"--{option} must not be a file of the run itself, as {path} is: give another path")


def check_ending(out: Path | None, endings: Sequence[str]) -> None:
    """Check that `--out PATH` ends in one of `endings`, which say what is written.

    Raises:
        ConfigError: It ends otherwise.
    """
    if out is not None and out.suffix.lower() not in endings:
        raise ConfigError(f"--out must end in {' or '.join(endings)}, which says what is written, not {out}")


def place(out: Path | None, default: Path, data: str) -> Path:
    """Where a result goes: `out`, or a default in the run's folder, whose own folder is made.

    Args:
        out: What the user says.
        default: Where it goes otherwise.
        data: The source of the images, which is not overwritten.

    Raises:
        ConfigError: Nothing can be written there, or the images are there.
    """
    if out is None:
        default.parent.mkdir(exist_ok=True)
    path = out or default
    _check_writable("out", path)
    if path.resolve() == Path(os.path.expanduser(data)).resolve():
        raise ConfigError(f"--out must not be the file of the images, as {path} is: give another path")
    return path


def replacing(out: Path, run: Path) -> str:
    """What to say, once a result is written, of a file that is there before; empty where there is none.

    Args:
        out: where the result goes.
        run: the folder of the run, whose report may show what was there.
    """
    if not out.exists():
        return ""
    report = run / "report.html"
    if out.stem in REPORTED and out.resolve().parent == (run / "figures").resolve() and report.exists():
        return f"replaced the earlier {out.name}; {report} keeps one from before: `vae-fn figures {run}` draws all anew"
    return f"replaced the earlier {out.name}"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a result for machines to read."""
    write_atomic(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays under their names as .npz, or the first of them alone as .npy; `numpy.load` reads both."""
    import numpy as np

    file = io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(file, next(iter(arrays.values())), allow_pickle=False)
    else:
        np.savez(file, **arrays)
    write_atomic(path, file.getvalue())


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a figure as what the ending of the path says."""
    from vae_fn.viz import save_figure

    write_atomic(path, save_figure(figure)[path.suffix.lower().removeprefix(".")])


def _is_of_run(path: Path, run: Path) -> bool:
    return path.is_relative_to(run) and (path.exists() or path.relative_to(run).parts[0] in OWN)


def _check_writable(option: str, path: Path) -> None:
    try:
        target = path.resolve()
        free = target.is_file() or not target.exists()
        writable = free and target.parent.is_dir() and os.access(target.parent, os.W_OK)
    except (OSError, RuntimeError):  # a name that is too long, a circle of links
        writable = False
    if not writable:
        raise ConfigError(f"--{option} must be a file in an existing folder that you may write to, not {path}")
