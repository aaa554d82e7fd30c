"""The distribution of each latent over a data set, beside the prior."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_fn.viz.deviation import Deviation, deviation_from_prior, normal_density
from vae_fn.viz.style import SKY, VERMILLION, latent_name, new_figure, reach, signed, styled
from vae_fn.words import counted

MOST = 12
"""Panels of the figure."""

BINS = 60


@styled
def marginals(z: Float[np.ndarray, "n d"], dims: Sequence[int]) -> Figure:
    """A histogram of each chosen latent as a density, against N(0, 1), with its deviation from it in numbers.

    Args:
        z: one draw from the posterior of each image.
        dims: the latents to draw, at most 12; `most_active` chooses them.

    Raises:
        ValueError: No latents to draw, or more than 12.
    """
    if not 1 <= len(dims) <= MOST:
        raise ValueError(f"{len(dims)} latents do not fit: give 1 to {MOST}, as most_active(kl, {MOST}) does")
    columns = min(3, len(dims)) if len(dims) != 4 else 2
    rows = math.ceil(len(dims) / columns)
    shown = (
        "" if len(dims) == z.shape[1] else f"The {len(dims)} most active of {z.shape[1]} latents, most active first. "
    )
    figure = new_figure(
        "Latents beside the prior",
        f"{shown}One draw from the posterior of each of {counted(len(z), 'image')}. KS: Kolmogorov-Smirnov distance to "
        "N(0, 1), between 0 and 1. Of N(0, 1) itself: KS 0, mean 0, variance 1.",
        height=1.4 + 1.7 * rows if rows > 1 else 3.6,
    )
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    extent = reach(z[:, dims])
    deviations = deviation_from_prior(z)
    for axes, dim in zip(panels.flat, dims, strict=False):
        _draw_marginal(axes, z[:, dim], deviations[dim], extent)
    panels[0, 0].set_ylim(0, 1.25 * panels[0, 0].get_ylim()[1])  # room for the numbers
    for axes in panels.flat[len(dims) :]:
        axes.set_axis_off()
    for axes in panels.flat[max(0, len(dims) - columns) : len(dims)]:
        axes.set_xlabel("prior standard deviations")
        axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("density")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _draw_marginal(axes: Axes, values: Float[np.ndarray, " n"], deviation: Deviation, extent: float) -> None:
    edges = np.linspace(-extent, extent, BINS + 1)
    density = np.histogram(values, edges)[0] / (len(values) * (edges[1] - edges[0]))
    axes.stairs(density, edges, fill=True, color=SKY, label="posterior draws")
    grid = np.linspace(-extent, extent, 201)
    axes.plot(grid, normal_density(grid), color=VERMILLION, label="prior N(0, 1)")
    axes.set_xlim(-extent, extent)
    axes.set_title(latent_name(deviation.dimension))
    numbers = f"KS {deviation.ks:.3f}\nmean {signed(deviation.mean, 2)}\nvar. {deviation.variance:.2f}"
    axes.text(0.03, 0.96, numbers, transform=axes.transAxes, va="top", fontsize=7)
