"""Times of training steps: how far from the machine's limit at every batch size, and how long each row takes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vae_fn.viz.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, logarithmic, new_figure, styled

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

DASHES = ("-", "--", ":", "-.")


@styled
def timing_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Two panels: the ratio to the limit against the size of a step, and milliseconds of a step at the largest one.

    The size is the batch, times the numbers of posterior samples and of members where these differ between rows.

    Args:
        rows: as `vae_fn.bench.measure` gives them.
    """
    figure = new_figure(
        "Time of a training step",
        "Left: the median time over the machine's limit for the step, which is its matrix products alone, each the "
        "fastest way, and its state once through the memory; 1 is out of reach. Right: the median time at the largest "
        "size, bars from the first to the third quartile of the windows.",
        height=3.6,
    )
    left, right = figure.subplots(1, 2)
    _against_size(left, rows)
    _by_row(right, rows)
    return figure


def _against_size(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    sizes = _sizes(rows)
    for number, name in enumerate(dict.fromkeys(row["name"] for row in rows)):
        own = sorted(
            (size, row["ratio_to_limit"]) for size, row in zip(sizes, rows, strict=True) if row["name"] == name
        )
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}
        axes.plot(*zip(*own, strict=True), marker="o", label=name, **look)
    axes.axhline(1, color="0.4", linewidth=0.8)
    logarithmic(axes, "x", "y")
    axes.set_xticks(sorted(set(sizes)))
    axes.set_xlabel(" x ".join(["batch", *_varied(rows)]) if _varied(rows) else "batch size")
    axes.set_ylabel("time / limit")
    axes.legend()


def _by_row(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    sizes = _sizes(rows)
    shown = [row for size, row in zip(sizes, rows, strict=True) if size == max(sizes)]
    times = [row["ms_per_step"] for row in shown]
    median = np.array([time["median"] for time in times])
    ends = [median - [time["q1"] for time in times], [time["q3"] for time in times] - median]
    axes.barh([row["name"] for row in shown], median, xerr=ends, color=SKY, error_kw={"linewidth": 1})
    axes.plot([row["limit_ms"] for row in shown], range(len(shown)), "|", color="black", markersize=12, label="limit")
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a step")
    axes.legend(loc="lower right")


def _sizes(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The size of each row."""
    return [math.prod(row[name] or 1 for name in ("batch", *_varied(rows))) for row in rows]


def _varied(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in ("samples", "members") if len({row[name] for row in rows}) > 1]
