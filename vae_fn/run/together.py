"""What the members of an ensemble come to together: a summary, and curves with mean and spread."""

import json
from pathlib import Path
from typing import Any

from vae_fn.run.folder import ENSEMBLE, as_json, write_atomic
from vae_fn.run.members import by_setting, setting_names, summarised
from vae_fn.run.metrics import read_metrics
from vae_fn.viz.ensemble import ensemble_curves
from vae_fn.viz.style import save_figure


def conclude(folder: Path) -> None:
    """Write the curves of an ensemble, then its summary, from what its members have written so far."""
    settings = by_setting(_members(folder))
    curves = [[read_metrics(folder / member["name"] / "metrics.jsonl") for member in own] for own in settings.values()]
    groups = dict(zip(setting_names(list(settings)), curves, strict=True))
    for kind, content in save_figure(ensemble_curves(groups)).items():
        write_atomic(folder / f"curves.{kind}", content)
    write_atomic(folder / "summary.json", _summary(folder))


def is_concluded(folder: Path) -> bool:
    """Whether the summary says what the members have come to; then the curves show it too."""
    file = folder / "summary.json"
    return file.exists() and file.read_bytes() == _summary(folder).encode()


def _members(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / ENSEMBLE).read_text(encoding="utf-8"))["members"]


def _summary(folder: Path) -> str:
    members = _members(folder)
    return as_json(summarised(members, {member["name"]: _test(folder / member["name"]) for member in members}))


def _test(run: Path) -> dict[str, Any] | None:
    file = run / "summary.json"
    return json.loads(file.read_text(encoding="utf-8"))["test"] if file.exists() else None
