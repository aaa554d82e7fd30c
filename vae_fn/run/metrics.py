"""`metrics.jsonl`: a row per log point, appended; what does not apply or is not finite is null."""

import json
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from vae_fn.run.folder import RunError, write_atomic
from vae_fn.words import counted

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
    "learning_rate",
    "beta",
    "skipped",
    "kl_by_dimension",
    "seconds",
    "examples_per_second",
)
"""The keys of a row of `metrics.jsonl`, in order; `nonfinite` follows them."""

TEXTS = ("split", "protocol")
"""Those that are texts; `kl_by_dimension` is a list of numbers, the others are numbers."""


def with_nonfinite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each NaN and infinity by None, also within a list, and name those keys in a further key `nonfinite`."""
    finite = {key: _finite(value) for key, value in values.items()}
    return finite | {"nonfinite": [key for key in values if finite[key] != values[key]]}


def metrics_row(**values: Any) -> str:
    """Return one row of `metrics.jsonl`, without its line end.

    Args:
        values: Any of `METRICS`; texts, numbers of any kind that `float` takes, and lists of these. Absent ones become
            null.

    Raises:
        TypeError: A key is not one of `METRICS`.
    """
    if unknown := values.keys() - set(METRICS):
        raise TypeError(f"not metrics: {sorted(unknown)}; use {METRICS}")
    return json.dumps(with_nonfinite({key: _plain(values.get(key)) for key in METRICS}), allow_nan=False)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read a `metrics.jsonl`; a last row that was cut off in the writing is left out.

    Raises:
        RunError: Any other row is not as `metrics_row` writes them.
    """
    return [_parse_row(path, number, line) for number, line in enumerate(_lines(path), start=1)]


def keep_rows(path: Path, count: int) -> None:
    """Cut the file back to its first rows, so that at every moment it holds all of them.

    Raises:
        RunError: There are fewer rows.
    """
    lines = _lines(path)
    if len(lines) < count:
        rows = counted(len(lines), "row")
        raise RunError(f"{path} has {rows}, but {count} were written: restore the file, or train again")
    write_atomic(path, "".join(line + "\n" for line in lines[:count]))


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]


def _finite(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_finite(entry) for entry in value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _is_row(row: Any) -> TypeGuard[dict[str, Any]]:
    if not isinstance(row, dict) or row.keys() != {*METRICS, "nonfinite"}:
        return False
    divergences = row["kl_by_dimension"] or []
    values = [row[key] for key in METRICS if key not in (*TEXTS, "kl_by_dimension")]
    return (
        type(row["step"]) is int
        and all(isinstance(row[key], str | None) for key in TEXTS)
        and isinstance(divergences, list)
        and all(isinstance(value, int | float | None) for value in (*values, *divergences))
    )


def _parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not _is_row(row):
        raise RunError(f"{path}, line {number} is not a row of metrics: delete that line")
    return row
