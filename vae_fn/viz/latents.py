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
"""Squares along an axis in which draws are counted."""

SQUARES = 20
"""Squares along an axis in which a class is counted, to find where it is densest; a number fits into one."""

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
        _outside(points, extent) + ("" if labels is None else _NUMBERS) + _MASSES,
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


_NUMBERS = "A number stands where its class is densest or nearly so, or a line leads there. "

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
    inside = points.clip(-extent, extent)
    for label, place in label_places(inside, labels, extent).items():
        colour, own = CLASSES[label % len(CLASSES)], inside[labels == label]
        box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
        axes.text(*place, str(label), bbox=box, fontweight="bold", ha="center", va="center", zorder=5)
        if not (own == place).all(1).any():
            (line,) = axes.plot(*zip(place, _dense(own, extent)[0], strict=True), color=colour, linewidth=1, zorder=4)
            line.set_path_effects(_HALO)


def label_places(
    points: Float[np.ndarray, "n 2"], labels: Integer[np.ndarray, " n"], extent: float
) -> dict[int, tuple[float, float]]:
    """Where each class has its number: at a point of its own, where it is densest or half as dense at least.

    Where other numbers are nearer to all of these than a square's side, of 20 x 20 in the frame, it is in the middle of
    the nearest square that is free. No point lies outside the frame.
    """
    side = 2 * extent / SQUARES
    middles = side * (np.indices((SQUARES, SQUARES)).reshape(2, -1).T + 0.5) - extent
    taken = np.empty((0, 2))
    places = {}
    for label in np.unique(labels).tolist():
        own = _dense(points[labels == label], extent)
        nearest_first = middles[np.hypot(*(middles - own[0]).T).argsort(kind="stable")]
        candidates = np.concatenate([own, nearest_first])
        apart = np.hypot(*(candidates[:, None] - taken).T).min(0, initial=np.inf) >= side
        place = candidates[apart.argmax()]
        taken = np.vstack([taken, place])
        places[label] = (float(place[0]), float(place[1]))
    return places


def _dense(own: Float[np.ndarray, "n 2"], extent: float) -> Float[np.ndarray, "m 2"]:
    """One point of a class in each square with at least half as many as the fullest, which comes first."""
    counts, edges = _count(own, extent, SQUARES)
    squares = np.clip(np.digitize(own, edges) - 1, 0, SQUARES - 1)
    found = []
    for square in sorted(np.argwhere(2 * counts >= counts.max()), key=lambda square: -counts[tuple(square)]):
        members = own[(squares == square).all(1)]
        found.append(members[np.hypot(*(members - members.mean(0)).T).argmin()])
    return np.array(found)


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
