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
    """Write the summary of an ensemble and its curves, from what its members have written so far."""
    members = json.loads((folder / ENSEMBLE).read_text(encoding="utf-8"))["members"]
    rows = {member["name"]: read_metrics(folder / member["name"] / "metrics.jsonl") for member in members}
    write_atomic(folder / "summary.json", as_json(summarised(members, {name: _test(folder / name) for name in rows})))
    settings = by_setting(members)
    curves = [[rows[member["name"]] for member in own] for own in settings.values()]
    groups = dict(zip(setting_names(list(settings)), curves, strict=True))
    for kind, content in save_figure(ensemble_curves(groups)).items():
        write_atomic(folder / f"curves.{kind}", content)


def _test(run: Path) -> dict[str, Any] | None:
    file = run / "summary.json"
    return json.loads(file.read_text(encoding="utf-8"))["test"] if file.exists() else None
