"""Gradient estimators beside each other, from the rows of `vae-fn gradients`: a panel for each group of parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_fn.viz.gradient_rows import BEYOND, Rows, biased, with_noise, work
from vae_fn.viz.style import BLUE, OKABE_ITO, YELLOW, frame, logarithmic, new_figure, styled

SIGNAL = 2
"""How many times its floor a signal-to-noise ratio must be for a slope to be fitted to it."""

ARROWS = 0.16
"""The part of the span that is left free below the biases, for the arrows."""

_COLOURS = [colour for colour in OKABE_ITO if colour != YELLOW]
_MARKERS = "osD^v<>P"


@styled
def bias_against_variance(rows: Rows) -> Figure:
    """The length of each estimator's bias against the variance of its noise, both logarithmic.

    Args:
        rows: of one place; those without an exact gradient or without variance are left out, and named.
    """
    shown = [row for row in with_noise(rows) if row["bias"] is not None and _height(row) > 0]
    figure, panels = _panels(
        "Bias against variance",
        f"Filled: a bias over {BEYOND} times what noise alone gives. Hollow, with an arrow: none is seen; the point is "
        "at what noise gives. Lines join the numbers of samples K of one estimator, the larger the more. Lower left is "
        f"better.{_left_out(rows, shown, 'noise beyond rounding, or no exact gradient')}",
        shown,
    )
    looks = _looks(rows, "estimator")
    for group, axes in panels.items():
        for name, look in looks.items():
            own = sorted((r for r in shown if _is(r, group, name)), key=lambda row: row["samples"])
            _draw_biases(axes, name, own, look)
        there = [row for row in shown if row["group"] == group]
        axes.set_xlim(frame(row["variance_noise"] for row in there))
        axes.set_ylim(frame(map(_height, there), below=ARROWS))
        logarithmic(axes, "x", "y")
        axes.set(ylabel="length of the bias", title=group)
    _end(figure, panels, "variance of the noise, summed over coordinates")
    return figure


@styled
def work_normalised_variance(rows: Rows) -> Figure:
    """The variance of the noise times the milliseconds of a gradient, as dots on a logarithmic axis, the best on top.

    Args:
        rows: of one place; those without variance are left out, and named.
    """
    shown = with_noise(rows)
    several = len({row["samples"] for row in rows}) > 1
    counts = [sum(row["group"] == group for row in shown) for group in _groups(shown)]
    figure, panels = _panels(
        "Work-normalised variance",
        "An estimator of half the value needs half the time for as little noise; the axis is logarithmic. Bias is not "
        "in it: hollow dots are of estimators that claim to be unbiased for nothing."
        f"{_left_out(rows, shown, 'noise beyond rounding')}",
        shown,
        heights=[0.5 + 0.17 * count for count in counts],
    )
    for group, axes in panels.items():
        own = sorted((row for row in shown if row["group"] == group), key=work)
        names = [row["estimator"] + (f", K = {row['samples']}" if several else "") for row in own]
        faces = ["none" if row["unbiased_for"].startswith("nothing") else BLUE for row in own]
        works = [work(row) for row in own]
        axes.scatter(works, range(len(own)), s=22, facecolors=faces, edgecolors=BLUE, zorder=3)
        axes.set_yticks(range(len(own)), names, fontsize=7)
        axes.set_ylim(len(own) - 0.4, -0.6)
        axes.set_xlim(frame(works))
        logarithmic(axes, "x")
        axes.set_title(group)
    if panels:
        list(panels.values())[-1].set_xlabel("variance of the noise, in milliseconds of work")
    return figure


@styled
def signal_to_noise(rows: Rows) -> Figure:
    """The signal-to-noise ratio against the number of samples K, both logarithmic, with fitted slopes and the floor.

    Args:
        rows: of one place.
    """
    shown = [row for row in rows if row["snr"]]
    figure, panels = _panels(
        "Signal-to-noise ratio against the number of samples",
        "Means over coordinates of |mean| / standard deviation. Slopes are fitted by least squares to the points above "
        f"{SIGNAL} times the floor, which is what so many draws show of no signal at all."
        f"{_left_out(rows, shown, 'noise, or no signal')}",
        shown,
    )
    looks = _looks(rows, "estimator")
    for group, axes in panels.items():
        for i, (name, look) in enumerate(looks.items()):
            own = sorted((row for row in shown if _is(row, group, name)), key=lambda row: row["samples"])
            k, snr, floor = (
                np.array([row[key] for row in own], dtype=float) for key in ("samples", "snr", "snr_floor")
            )
            above = snr > SIGNAL * floor
            if len(own):
                axes.plot(k, snr, markersize=_size(i), label=f"{name}: {_slope(k[above], snr[above])}", **look)
        floors = {row["samples"]: row["snr_floor"] for row in shown if row["group"] == group}
        ordered = sorted(floors)
        axes.plot(ordered, [floors[k] for k in ordered], color="0.4", linestyle="--", label="floor")
        axes.set_ylim(frame([*floors.values(), *(row["snr"] for row in shown if row["group"] == group)]))
        logarithmic(axes, "x", "y")
        axes.set(ylabel="signal-to-noise ratio", title=group)
        axes.set_xticks(ordered, [str(k) for k in ordered])
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="slope in K")
    if panels:
        list(panels.values())[-1].set_xlabel("samples K")
    return figure


@styled
def variance_along_training(rows: Rows) -> Figure:
    """The variance of each estimator's noise at the checkpoints of one run, on a logarithmic axis.

    Args:
        rows: of several places, with their `step`.
    """
    several, shown = len({row["samples"] for row in rows}) > 1, with_noise(rows)
    named = [{**row, "line": row["estimator"] + (f", K = {row['samples']}" if several else "")} for row in shown]
    figure, panels = _panels(
        "Variance along training",
        "Of all estimators at the same parameters, whichever of them trained the run: the noise's part of the variance "
        f"of a mini-batch, summed over coordinates.{_left_out(rows, shown, 'noise beyond rounding')}",
        named,
    )
    for group, axes in panels.items():
        for i, (line, look) in enumerate(_looks(named, "line").items()):
            own = sorted((r for r in named if r["group"] == group and r["line"] == line), key=lambda row: row["step"])
            steps, values = ([row[key] for row in own] for key in ("step", "variance_noise"))
            axes.plot(steps, values, markersize=_size(i), label=line, **look)
        axes.set_ylim(frame(row["variance_noise"] for row in named if row["group"] == group))
        logarithmic(axes, "y")
        axes.set(ylabel="variance of the noise", title=group)
    _end(figure, panels, "training step")
    return figure


def _panels(
    title: str, note: str, rows: Rows, heights: Sequence[float] | None = None
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each group, one below the other; `heights` in inches."""
    names = _groups(rows)
    heights = [2.5] * len(names) if heights is None else heights
    figure = new_figure(title, note, 1.1 + (sum(heights) or 2.5))
    panels = figure.subplots(len(names), squeeze=False, height_ratios=heights)[:, 0] if names else []
    return figure, dict(zip(names, panels, strict=True))


def _left_out(rows: Rows, shown: Rows, lacking: str) -> str:
    """A sentence on the rows for which a logarithmic axis has no place, with the groups where others are shown."""
    kept, found = {id(row) for row in shown}, dict[str, dict[str, None]]()
    for row in rows:
        if id(row) not in kept:
            found.setdefault(row["estimator"], {})[row["group"]] = None
    elsewhere = {row["estimator"] for row in shown}
    names = [f"{name} ({', '.join(groups)})" if name in elsewhere else name for name, groups in found.items()]
    return f" Left out where there is no finite {lacking}: {', '.join(names)}." if names else ""


def _groups(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["group"] for row in rows))


def _looks(rows: Rows, by: str) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each name, in the order of the rows."""
    names = dict.fromkeys(row[by] for row in rows)
    count = len(_COLOURS)
    return {
        name: {"color": _COLOURS[i % count], "marker": _MARKERS[i // count % len(_MARKERS)]}
        for i, name in enumerate(names)
    }


def _size(number: int) -> float:
    """Of the markers of a line: those drawn first are larger, and show where later ones hide them."""
    return max(2.5, 7.0 - number)


def _is(row: Mapping[str, Any], group: str, name: str) -> bool:
    return row["group"] == group and row["estimator"] == name


def _height(row: Mapping[str, Any]) -> float:
    """Where a bias is drawn: at its length if it is seen, else at what noise gives."""
    return row["bias"] if biased(row) else row["bias_se"]


def _draw_biases(axes: Axes, name: str, own: Rows, look: Mapping[str, Any]) -> None:
    seen = [biased(row) for row in own]
    x = [row["variance_noise"] for row in own]
    y = [_height(row) for row in own]
    axes.plot(x, y, color=look["color"], linewidth=0.7)
    for i, there in enumerate(seen):
        face = look["color"] if there else "none"
        label = name if i == 0 else None
        axes.plot(x[i], y[i], **look, linestyle="", markersize=3.5 + i, markerfacecolor=face, label=label)
        if not there:
            axes.annotate(
                "", (x[i], y[i]), (0, -13), textcoords="offset points", arrowprops={"arrowstyle": "<-", **_arrow(look)}
            )


def _arrow(look: Mapping[str, Any]) -> dict[str, Any]:
    return {"color": look["color"], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3}


def _end(figure: Figure, panels: Mapping[str, Axes], label: str) -> None:
    """The label of the horizontal axes, and one legend for all panels."""
    if panels:
        list(panels.values())[-1].set_xlabel(label)
        handles = {name: handle for axes in panels.values() for handle, name in zip(*_legend_of(axes), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside right upper")


def _legend_of(axes: Axes) -> tuple[list[Any], list[str]]:
    return axes.get_legend_handles_labels()


def _slope(k: Float[np.ndarray, " n"], snr: Float[np.ndarray, " n"]) -> str:
    if len(k) < 2:
        return "at the floor"
    return f"{np.polyfit(np.log(k), np.log(snr), 1)[0]:+.2f}".replace("-", "\N{MINUS SIGN}")
