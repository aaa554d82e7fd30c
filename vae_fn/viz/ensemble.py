"""The curves of an ensemble: mean and spread over keys, for each value of what differs besides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_fn.viz.curves import marker_size, series, settled_limits
from vae_fn.viz.race import COLOURS, DASHES
from vae_fn.viz.style import new_figure, styled
from vae_fn.words import counted

Rows = Sequence[Mapping[str, Any]]
"""The rows of a run's `metrics.jsonl`."""

WIDTH = 8
"""Points of type that the band of a single point is wide."""


@styled
def ensemble_curves(groups: Mapping[str, Sequence[Rows]]) -> Figure:
    """The ELBO against steps in two panels, of training and of the evaluation after each epoch.

    Args:
        groups: by what tells them from one another, the rows of each member; a value that is not finite is None.
    """
    figure = new_figure(
        "The ELBO of an ensemble",
        "Lines are means over keys, bands reach one standard deviation to either side. A member that was lost counts "
        "as far as it went. Nothing is smoothed: a training point is the mean since the point before. Vertical axes "
        "fit the values after the first tenth of the steps; earlier ones may lie outside.",
        height=5.0,
    )
    members = [rows for each in groups.values() for rows in each]
    held_out = any(row["split"] == "validation" for rows in members for row in rows)
    panels = figure.subplots(2, sharex=True)
    for axes, split in zip(panels, ("train", "validation" if held_out else "test"), strict=True):
        _draw(axes, split, {name: mean_and_spread(each, split) for name, each in groups.items()})
        axes.set_ylabel(f"{split} ELBO\n(nats per image)")
    panels[-1].set_xlabel("training step")
    panels[-1].set_xlim(left=0)
    counts = [counted(len(each), "key") for each in groups.values()]
    labels = [", ".join(filter(None, each)) for each in zip(groups, counts, strict=True)]
    figure.legend(panels[0].lines, labels, loc="outside upper right", ncols=min(2, len(labels)))
    figure.align_ylabels(panels)
    return figure


def mean_and_spread(
    members: Sequence[Rows], split: str
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The steps of a split, and mean and standard deviation of the members' ELBOs there; NaN where there is none.

    The deviation is that of a sample: one member has none.
    """
    curves = [dict(zip(*map(np.ndarray.tolist, series(rows, split, "elbo")), strict=True)) for rows in members]
    steps = sorted(set().union(*curves))
    values = np.array([[curve.get(step, np.nan) for step in steps] for curve in curves]).reshape(len(curves), -1)
    there = np.isfinite(values)
    count, kept = there.sum(0), np.where(there, values, 0.0)
    mean = np.divide(kept.sum(0), count, out=np.full(len(steps), np.nan), where=count > 0)
    squares = np.where(there, (kept - mean) ** 2, 0.0).sum(0)
    variance = np.divide(squares, count - 1, out=np.full(len(steps), np.nan), where=count > 1)
    return np.array(steps, dtype=float), mean, np.sqrt(variance)


def _draw(axes: Axes, split: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    seen = []
    for number, (name, (steps, mean, spread)) in enumerate(curves.items()):
        colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
        axes.plot(steps, mean, dashes, label=name, color=colour, marker="o", markersize=marker_size(split, len(steps)))
        low, high = mean - spread, mean + spread
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        if np.isfinite(spread).sum() == 1:  # a band of one point has no area
            axes.vlines(steps, low, high, color=colour, alpha=0.2, linewidth=WIDTH)
        seen += [(steps, mean), (steps, low), (steps, high)]
    low, high = settled_limits(*(np.concatenate(part) for part in zip(*seen, strict=True)))
    axes.set_ylim(low, high)
