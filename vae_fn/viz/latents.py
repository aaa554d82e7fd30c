"""Where a data set lies in two dimensions of the latent space, beside the prior."""

import math

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import AbstractPathEffect, withStroke

from vae_fn.viz.style import BLACK, BLUE, CLASSES, latent_axis, new_figure, reach, styled
from vae_fn.words import counted

RADII = (1.0, 2.0, 3.0)
"""Of the prior's contours, in standard deviations."""

MARKERS = ("o", "^", "s", "D", "v")
"""One for each ten classes."""

BINS = 80

_HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground="white")]


@styled
def latent_scatter(
    means: Float[np.ndarray, "n d"], labels: Integer[np.ndarray, " n"] | None, dims: tuple[int, int] = (0, 1)
) -> Figure:
    """Posterior means of images in two latents, coloured and named by class, with contours of the prior.

    Args:
        means: posterior means, drawn in this order; sorted by class, late classes would hide early ones.
        labels: classes from 0; None where there are none.
        dims: the two latents.
    """
    points = means[:, dims]
    extent = reach(points)
    figure = new_figure(
        f"Posterior means of {counted(len(points), 'image')}",
        _outside(points, extent) + ("" if labels is None else "A number stands where its class is densest. ") + _MASSES,
        height=6.3,
    )
    axes = figure.subplots()
    if labels is None:
        _draw_points(axes, points, "o", BLUE)
    else:
        _draw_classes(axes, points, labels, extent)
    _finish(axes, extent, dims)
    return figure


@styled
def latent_histogram(z: Float[np.ndarray, "n d"], dims: tuple[int, int] = (0, 1)) -> Figure:
    """Draws from the posteriors of images in two latents, counted in squares, with contours of the prior.

    Args:
        z: one draw from the posterior of each image.
        dims: the two latents.
    """
    points = z[:, dims]
    extent = reach(points)
    counts, _ = _count(points, extent, BINS)
    figure = new_figure(
        f"Posterior draws of {counted(len(points), 'image')}, counted",
        f"{BINS} x {BINS} squares; empty ones are white. " + _outside(points, extent) + _MASSES,
        height=5.6,
    )
    axes = figure.subplots()
    image = axes.imshow(
        np.ma.masked_equal(counts.T, 0),
        norm=LogNorm(1, max(2, counts.max())),
        cmap="viridis",
        extent=(-extent, extent, -extent, extent),
        origin="lower",
        interpolation="nearest",
    )
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="images per square (logarithmic)", shrink=0.8)
    _finish(axes, extent, dims)
    return figure


def prior_mass(radius: float) -> float:
    """The mass that a standard normal in two dimensions has within `radius` standard deviations: 1 - exp(-r² / 2)."""
    return -math.expm1(-0.5 * radius**2)


_MASSES = (
    "Circles: the prior at "
    + ", ".join(f"{radius:g}" for radius in RADII)
    + " standard deviations, which hold "
    + ", ".join(f"{100 * prior_mass(radius):.1f} %" for radius in RADII)
    + " of it."
)


def _draw_classes(
    axes: Axes, points: Float[np.ndarray, "n 2"], labels: Integer[np.ndarray, " n"], extent: float
) -> None:
    """The points, ten classes to a marker, and each class's number in its colour where the class is densest."""
    colours = np.array(CLASSES)[labels % len(CLASSES)]
    groups = labels // len(CLASSES)
    for group in np.unique(groups):
        _draw_points(axes, points[groups == group], MARKERS[group % len(MARKERS)], colours[groups == group])
    for label, place in label_places(points, labels, extent).items():
        colour = CLASSES[label % len(CLASSES)]
        box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
        axes.text(*place, str(label), bbox=box, fontweight="bold", ha="center", va="center", zorder=5)


def label_places(
    points: Float[np.ndarray, "n 2"], labels: Integer[np.ndarray, " n"], extent: float
) -> dict[int, tuple[float, float]]:
    """Where each class is densest: a square, of 20 x 20 in the frame, for each class its own.

    Where other classes have taken a class's squares, its place is the nearest that is free.
    """
    places, taken = {}, np.zeros((20, 20), bool)
    squares = np.indices(taken.shape)
    for label in np.unique(labels).tolist():
        counts, edges = _count(points[labels == label], extent, 20)
        densest = np.unravel_index(counts.argmax(), counts.shape)
        away = np.hypot(*(squares - np.reshape(densest, (2, 1, 1)))) / 28  # below 1, so that it only breaks ties
        i, j = np.unravel_index(np.where(taken, -np.inf, counts - away).argmax(), counts.shape)
        taken[i, j] = True
        middles = 0.5 * (edges[:-1] + edges[1:])
        places[label] = (float(middles[i]), float(middles[j]))
    return places


def _count(
    points: Float[np.ndarray, "n 2"], extent: float, bins: int
) -> tuple[Float[np.ndarray, "bins bins"], Float[np.ndarray, " edges"]]:
    """How many points lie in each square of the frame, first axis first, and the squares' edges along either axis."""
    edges = np.linspace(-extent, extent, bins + 1)
    return np.histogram2d(*points.T, bins=(edges, edges))[0], edges


def _draw_points(axes: Axes, points: Float[np.ndarray, "n 2"], marker: str, colours: str | np.ndarray) -> None:
    axes.scatter(*points.T, s=4, marker=marker, c=colours, alpha=0.6, linewidths=0, rasterized=True)


def _finish(axes: Axes, extent: float, dims: tuple[int, int]) -> None:
    """Contours of the prior, equal scales and names of the axes."""
    for radius in RADII:
        circle = Circle((0, 0), radius, fill=False, edgecolor=BLACK, linewidth=0.9, linestyle="--", zorder=3)
        circle.set_path_effects(_HALO)
        axes.add_patch(circle)
        text = axes.text(0, -radius, f"{radius:g} sd", fontsize=7, ha="center", va="center", zorder=4)
        text.set_path_effects(_HALO)
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    axes.set(xlabel=latent_axis(dims[0]), ylabel=latent_axis(dims[1]))


def _outside(points: Float[np.ndarray, "n 2"], extent: float) -> str:
    count = int((np.abs(points) > extent).any(1).sum())
    return f"{count:,} of {len(points):,} lie outside the frame. " if count else ""
