"""Times of training steps: how far from the machine's limit at every batch size, and how long each row takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vae_fn.viz.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, new_figure, styled

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

DASHES = ("-", "--", ":", "-.")


@styled
def timing_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Two panels: the ratio to the limit against the batch size, and milliseconds of a step at the largest one.

    Args:
        rows: as `vae_fn.bench.measure` gives them.
    """
    figure = new_figure(
        "Time of a training step",
        "Left: the median time over the machine's limit for the step, which is its matrix products alone, each the "
        "fastest way, and its state once through the memory; 1 is out of reach. Right: the median time at the largest "
        "batch, bars from the first to the third quartile of the windows.",
        height=3.6,
    )
    left, right = figure.subplots(1, 2)
    _against_size(left, rows)
    _by_row(right, rows)
    return figure


def _against_size(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(row["name"] for row in rows))
    for number, name in enumerate(names):
        own = sorted((row for row in rows if row["name"] == name), key=_size)
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}
        axes.loglog([_size(row) for row in own], [row["ratio_to_limit"] for row in own], marker="o", label=name, **look)
    axes.axhline(1, color="0.4", linewidth=0.8)
    sizes = sorted({_size(row) for row in rows})
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("batch size")
    axes.set_ylabel("time / limit")
    axes.legend()


def _by_row(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    largest = max(map(_size, rows))
    shown = [row for row in rows if _size(row) == largest]
    times = [row["ms_per_step"] for row in shown]
    median = np.array([time["median"] for time in times])
    ends = [median - [time["q1"] for time in times], [time["q3"] for time in times] - median]
    axes.barh([row["name"] for row in shown], median, xerr=ends, color=SKY, error_kw={"linewidth": 1})
    axes.plot([row["limit_ms"] for row in shown], range(len(shown)), "|", color="black", markersize=12, label="limit")
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a step")
    axes.legend(loc="lower right")


def _size(row: Mapping[str, Any]) -> int:
    return row["batch"] or 1
