"""Curves over training, from the rows of `metrics.jsonl`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_fn.viz.style import BLACK, BLUE, GREEN, VERMILLION, logarithmic, new_figure, styled

TERMS = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
SPLITS = {
    "train": {"color": BLUE, "linewidth": 0.6, "marker": "o", "zorder": 2},
    "validation": {"color": VERMILLION, "marker": "o", "zorder": 3},
    "test": {"color": GREEN, "marker": "s", "zorder": 3},
}

FEW, SIZES = 60, (3.0, 0.75)
"""Points of a line up to which each is seen, and the sizes of markers of so many and of more."""

SETTLED, LEAST = 0.1, 1 / 3
"""The first part of the steps, whose values limits need not fit, and the part of the height that the others get."""


@styled
def loss_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """ELBO, reconstruction and KL over training, a line for each split that has rows.

    Nothing is smoothed. The first values can be hundreds of times the last ones, so that the vertical axes fit what
    comes after the first tenth of the steps, and the values before only where that leaves the others room. What lies
    outside is a triangle at the edge.

    Args:
        rows: `step`, `split`, and the terms in nats per image; None, which is a value that is not finite, is a gap.
    """
    figure = new_figure(
        "The ELBO and its terms",
        "ELBO is reconstruction minus KL. Nothing is smoothed: a training point is the mean since the point before, an "
        "evaluation point the mean over its split. Vertical axes fit the values after the first tenth of the steps, "
        "which get a third of the height at least; triangles at an edge are earlier ones that lie outside.",
        height=6.2,
    )
    panels = figure.subplots(len(TERMS), sharex=True)
    for axes, (key, term) in zip(panels, TERMS.items(), strict=True):
        curves = {split: series(rows, split, key) for split in SPLITS}
        for split, (steps, values) in curves.items():
            if len(steps):
                axes.plot(steps, values, label=split, **_look(split, len(steps)))
        low, high = settled_limits(*(np.concatenate(part) for part in zip(*curves.values(), strict=True)))
        if low is not None and high is not None:
            axes.set_ylim(low, high)
            for split, curve in curves.items():
                _mark_outside(axes, *curve, low, high, SPLITS[split]["color"])
        axes.set_ylabel(f"{term}\n(nats per image)")
    panels[-1].set_xlabel("training step")
    panels[-1].set_xlim(left=0)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(SPLITS))
    figure.align_ylabels(panels)
    return figure


@styled
def gradient_norm(rows: Sequence[Mapping[str, Any]], clip_norm: float) -> Figure:
    """The norm of the gradient before clipping, on a logarithmic axis, and the threshold as a line.

    Args:
        rows: as for `loss_curves`, with `grad_norm`; rows of training alone are drawn.
        clip_norm: what longer gradients are scaled down to; 0 where nothing is clipped.
    """
    figure = new_figure(
        "Gradient norm before clipping", "Each point is the mean over the steps since the point before."
    )
    axes = figure.subplots()
    steps, norms = series(rows, "train", "grad_norm")
    axes.plot(steps, norms, label="gradient norm", **_look("train", len(steps)))
    if clip_norm > 0:
        axes.axhline(clip_norm, color=BLACK, linestyle="--", label=f"clipped to {clip_norm:g}")
    logarithmic(axes, "y")
    axes.set_xlim(left=0)
    axes.set_xlabel("training step")
    axes.set_ylabel("gradient norm (nats per image)")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def series(
    rows: Sequence[Mapping[str, Any]], split: str, key: str
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The steps of a split's rows and their values under `key`; None is NaN, which a line leaves out."""
    own = [row for row in rows if row["split"] == split]
    steps, values = (np.array([row[name] for row in own], dtype=float) for name in ("step", key))
    return steps, values


def settled_limits(
    steps: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> tuple[float | None, float | None]:
    """Limits that fit the finite values after the first tenth of the steps; None where there are none to fit.

    They fit all where that leaves these a third of the height.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return None, None
    settled = values[finite & (steps >= SETTLED * steps[finite].max())]
    fit = values[finite] if np.ptp(settled) >= LEAST * np.ptp(values[finite]) else settled
    low, high = float(fit.min()), float(fit.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def marker_size(split: str, points: int) -> float:
    """The size of the points of a split's line: of few each is seen, of many the line."""
    return SIZES[0] if points <= FEW or split != "train" else SIZES[1]


def _look(split: str, points: int) -> dict[str, Any]:
    """How the line of a split is drawn."""
    return SPLITS[split] | {"markersize": marker_size(split, points)}


def _mark_outside(
    axes: Axes, steps: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], low: float, high: float, colour: str
) -> None:
    """A triangle at the edge for each value beyond it."""
    for edge, beyond, marker in ((low, values < low, "v"), (high, values > high, "^")):
        if beyond.any():
            edges = np.full(int(beyond.sum()), edge)
            axes.scatter(steps[beyond], edges, s=14, marker=marker, color=colour, linewidths=0, clip_on=False, zorder=4)
