"""What the members of an ensemble come to together: a summary, and curves with mean and spread."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_fn.run.folder import ENSEMBLE, as_json, write_atomic
from vae_fn.run.members import setting_names
from vae_fn.run.metrics import read_metrics
from vae_fn.viz.ensemble import ensemble_curves
from vae_fn.viz.style import save_figure

TERMS = ("elbo", "reconstruction", "kl")
"""What is summarised of the test images, in nats per image."""


def conclude(folder: Path) -> None:
    """Write the summary of an ensemble and its curves, from what its members have written so far."""
    members = json.loads((folder / ENSEMBLE).read_text(encoding="utf-8"))["members"]
    rows = {member["name"]: read_metrics(folder / member["name"] / "metrics.jsonl") for member in members}
    write_atomic(folder / "summary.json", as_json(summarised(members, {name: _test(folder / name) for name in rows})))
    settings = _by_setting(members)
    curves = [[rows[member["name"]] for member in own] for own in settings.values()]
    groups = dict(zip(setting_names(list(settings)), curves, strict=True))
    for kind, content in save_figure(ensemble_curves(groups)).items():
        write_atomic(folder / f"curves.{kind}", content)


def summarised(
    members: Sequence[Mapping[str, Any]], tests: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, list[dict[str, Any]]]:
    """The results of members, and mean and standard deviation over the keys of each setting.

    Args:
        members: `name`, `key`, `beta` and `learning_rate` of each.
        tests: what each has reached on the test images; None where it has not come to its end. What is not finite is
            None, and left out of means.
    """
    settings = [
        {"beta": beta, "learning_rate": rate}
        | {term: _spread([(tests[member["name"]] or {}).get(term) for member in own]) for term in TERMS}
        for (beta, rate), own in _by_setting(members).items()
    ]
    return {"members": [dict(member) | {"test": tests[member["name"]]} for member in members], "settings": settings}


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation (of a sample, hence of two or more) and count of what is there."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    mean = statistics.fmean(found) if found else None
    spread = statistics.stdev(found) if len(found) > 1 else None
    return {"mean": mean, "standard_deviation": spread, "count": len(found)}


def _by_setting(members: Sequence[Mapping[str, Any]]) -> dict[tuple[float, float], list[Mapping[str, Any]]]:
    found: dict[tuple[float, float], list[Mapping[str, Any]]] = {}
    for member in members:
        found.setdefault((member["beta"], member["learning_rate"]), []).append(member)
    return found


def _test(run: Path) -> dict[str, Any] | None:
    file = run / "summary.json"
    return json.loads(file.read_text(encoding="utf-8"))["test"] if file.exists() else None
