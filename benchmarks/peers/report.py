"""From windows to rows, and from rows to a table and a figure."""

import statistics
from collections.abc import Sequence
from typing import Any

from process import Peer, Row, how_to_install
from tabulate import tabulate

from vae_fn.viz.style import BLUE, logarithmic, new_figure, save_figure, styled

GREY = "0.7"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least value and quartiles."""
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"min": min(values), "q1": q1, "median": median, "q3": q3}


def row_of(peer: Peer, times: dict[str, list[float]], reference: str, parity: dict[str, float]) -> dict[str, Any]:
    """The record of a program that has run its windows; it is ended here."""
    row, mine = peer.row, times[peer.row.name]
    return {
        "name": row.name,
        "framework": row.framework,
        "precision": row.precision,
        "ms_per_step": spread(mine),
        "ratio": spread([a / b for a, b in zip(mine, times[reference], strict=True)]),
        "build_s": peer.ready["build_s"],
        "first_step_s": peer.ready["first_step_s"],
        "steps_per_call": peer.ready["chunk"],
        "parity": parity,
        **peer.quit(),
    }


def table(record: dict[str, Any], format: str = "simple") -> str:
    """All rows, the fastest first, and what was left out."""
    rows = [
        {
            "program": row["name"],
            "precision": row["precision"],
            "ms a step": f"{row['ms_per_step']['median']:.2f}",
            "least": f"{row['ms_per_step']['min']:.2f}",
            f"time / {record['reference']}": "{median:.2f} ({q1:.2f} to {q3:.2f})".format(**row["ratio"]),
            "first step, s": f"{row['first_step_s']:.1f}",
            "peak MB": f"{row['peak_mb']:.0f}",
            "loss off by": f"{row['parity']['error']:.0e}",
            f"after {record['parity_steps']} steps": f"{row['parity']['later_error']:.0e}",
        }
        for row in by_speed(record["rows"])
    ]
    missing = [f"left out: {row['name']}: {how_to_install(row['missing'])}" for row in record["left_out"]]
    return "\n".join([tabulate(rows, headers="keys", tablefmt=format, disable_numparse=True), *missing])


def circumstances(record: dict[str, Any]) -> str:
    """On what a record was measured, in a line."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    processor, busy = record["environment"]["processor"], " The machine was busy: these are no comparison."
    windows = f"medians over {record['windows']} windows"
    return f"{processor}, threads: {record['threads']}; {windows}; {versions}.{busy if record['busy'] else ''}"


def by_speed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, the fastest first."""
    return sorted(rows, key=lambda row: row["ms_per_step"]["median"])


@styled
def figure(record: dict[str, Any], ours: str = "vae_fn") -> bytes:
    """The PNG: a bar for each program's median, whiskers between the quartiles, the framework `ours` in colour."""
    rows = by_speed(record["rows"])[::-1]
    medians = [row["ms_per_step"]["median"] for row in rows]
    note = (
        f"Median over {record['windows']} alternating windows of {record['steps']} steps, quartiles as whiskers; batch "
        f"{record['task']['batch']}, threads: {record['threads']}; {record['environment']['processor']}."
    )
    drawn = new_figure("A training step of the tutorial's VAE", note, height=1.3 + 0.26 * len(rows))
    axes = drawn.subplots()
    whiskers = [
        [m - row["ms_per_step"]["q1"] for m, row in zip(medians, rows, strict=True)],
        [row["ms_per_step"]["q3"] - m for m, row in zip(medians, rows, strict=True)],
    ]
    colours = [BLUE if row["framework"] == ours else GREY for row in rows]
    axes.barh([row["name"] for row in rows], medians, xerr=whiskers, color=colours, error_kw={"lw": 0.9, "capsize": 2})
    for place, row in enumerate(rows):
        axes.annotate(
            f" {medians[place]:.1f}", (row["ms_per_step"]["q3"], place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=7.5,
        )  # fmt: skip
    if max(medians) > 10 * min(medians):
        logarithmic(axes, "x")
        axes.set_xlim(min(medians) / 2, 2 * max(medians))
    else:
        axes.margins(x=0.1)
    axes.set_xlabel("milliseconds a step")
    axes.grid(axis="y", visible=False)
    return save_figure(drawn)["png"]


def select(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows in whose names one of the words occurs; all without a word."""
    return [row for row in rows if not names or any(name.lower() in row.name.lower() for name in names)]
