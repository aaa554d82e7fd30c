"""The curves of a race: the bound against steps, seconds and evaluations."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from vae_fn.lab.race import Curve, Leg
from vae_fn.viz.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, new_figure, styled

AXES = ("training steps", "seconds of training", "evaluations of f per image")

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

DASHES = ("-", "--", ":", "-.")


class Curves(NamedTuple):
    """An estimator's curves over its keys.

    Attributes:
        steps: at which the bound was looked at.
        seconds: of training until then, of each key.
        bounds: in nats, of each key; NaN after a leg was lost.
        per_step: evaluations of f, forward and backward, for one datum and step.
    """

    steps: Float[np.ndarray, " t"]
    seconds: Float[np.ndarray, "k t"]
    bounds: Float[np.ndarray, "k t"]
    per_step: int


def curves_of(curves: Mapping[Leg, Curve]) -> dict[str, Curves]:
    """The legs of each estimator, of which each ran at one rate, under its name, samples and rate."""
    found: dict[str, list[Curve]] = {}
    for leg, curve in curves.items():
        found.setdefault(f"{leg.estimator}, K={leg.samples}, rate {leg.learning_rate:g}", []).append(curve)
    return {name: _stacked(each) for name, each in found.items()}


@styled
def race_figure(curves: Mapping[str, Curves], bound: str = "ELBO") -> Figure:
    """Three panels: the mean over the keys, and a band from the lowest to the highest of them.

    Args:
        curves: by what the legend says.
        bound: what was looked at.
    """
    figure = new_figure(
        "Race of gradient estimators",
        f"{bound} of held-out images while training, each estimator at its own best learning rate, chosen by the mean "
        "over keys at the end of these curves. Lines are means over keys, bands reach from the lowest to the highest "
        "key. An evaluation is a forward or a backward pass of the likelihood. Seconds are those of training steps "
        "alone, the median over keys. The vertical axis fits what comes after the first tenth of the way.",
        height=4.6,
    )
    panels = figure.subplots(1, 3, sharey=True)
    for number, (name, each) in enumerate(curves.items()):
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}
        across = (each.steps, np.nanmedian(each.seconds, 0), each.steps * each.per_step)
        for axes, x in zip(panels, across, strict=True):
            axes.plot(x, each.bounds.mean(0), label=name, **look)
            axes.fill_between(x, each.bounds.min(0), each.bounds.max(0), color=look["color"], alpha=0.2, linewidth=0)
    for axes, text in zip(panels, AXES, strict=True):
        axes.set_xlabel(text)
        axes.set_xlim(left=0)
    late = np.concatenate([each.bounds[:, max(1, len(each.steps) // 10) :].ravel() for each in curves.values()])
    late = late[np.isfinite(late)]
    if late.size:
        margin = 0.04 * np.ptp(late) + 1e-6
        panels[0].set_ylim(late.min() - margin, late.max() + margin)
    panels[0].set_ylabel(f"validation {bound} (nats per image)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize="small")
    return figure


def _stacked(curves: list[Curve]) -> Curves:
    longest = max((curve.points for curve in curves), key=len)
    steps = np.array([point.step for point in longest], dtype=float)
    seconds, bounds = (np.full((len(curves), len(steps)), np.nan) for _ in range(2))
    for i, curve in enumerate(curves):
        seconds[i, : len(curve.points)] = [point.seconds for point in curve.points]
        bounds[i, : len(curve.points)] = [point.bound for point in curve.points]
    return Curves(steps, seconds, bounds, sum(curves[0].evaluations))
