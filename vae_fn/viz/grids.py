"""Pictures in rows and columns. A picture is drawn as it is: black is 0, white is 1, nothing is rescaled."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_fn.types import Shape
from vae_fn.viz.style import WIDTH, new_figure, styled
from vae_fn.words import counted

GAP = 2
"""Pixels between two pictures."""


@styled
def prior_samples(images: Float[np.ndarray, "n d"], shape: Shape) -> Figure:
    """Means p(x | z) at draws z from the prior, as a square grid (8 x 8 for 64 images) in reading order."""
    columns = math.ceil(math.sqrt(len(images)))
    note = f"Means of p(x | z) at {counted(len(images), 'draw')} z from the prior. Black is 0, white is 1."
    figure = new_figure("Samples from the prior", note, grid_height(shape, math.ceil(len(images) / columns), columns))
    draw_grid(figure.subplots(), images, shape, columns)
    return figure


@styled
def reconstructions(
    originals: Float[np.ndarray, "n d"], decoded: Float[np.ndarray, "n d"], shape: Shape, columns: int = 10
) -> Figure:
    """Each image with its reconstruction under it, `columns` pairs to a row."""
    rows = math.ceil(len(originals) / columns)
    note = "Below each image the mean of p(x | z) at its own encoding z. Black is 0, white is 1."
    figure = new_figure("Reconstructions", note, grid_height(shape, 2 * rows, columns, labels=0.7) + 0.15 * rows)
    panels = figure.subplots(rows, squeeze=False)[:, 0]
    for row, axes in enumerate(panels):
        part = slice(row * columns, (row + 1) * columns)
        blank = np.ones((columns - len(originals[part]), originals.shape[1]), originals.dtype)
        pair = np.concatenate([originals[part], blank, decoded[part], blank])
        draw_grid(axes, pair, shape, columns, row_labels=("original", "decoded"))
    return figure


def as_picture(row: Float[np.ndarray, " d"], shape: Shape) -> Float[np.ndarray, "height width *channels"]:
    """A flat row as a picture: grey `(h, w)`, or in colour `(h, w, 3)`.

    Args:
        row: numbers in [0, 1].
        shape: what the row was: (h, w), (h, w, c) or (c, h, w) with one or three channels c. Any other shape is drawn
            as a square if its numbers fill one, else as a strip, made an eighth as high as it is wide.

    Raises:
        ValueError: The row does not have this shape's size, or a number is not in [0, 1].
    """
    if row.size != math.prod(shape):
        raise ValueError(f"a row of {row.size} numbers is not an image of shape {shape}")
    if not ((row >= 0) & (row <= 1)).all():
        raise ValueError(f"a picture has numbers in [0, 1], got {row.min()} to {row.max()}: undo what was done to them")
    if len(shape) == 2:
        return row.reshape(shape)
    if len(shape) == 3 and shape[-1] in (1, 3):
        picture = row.reshape(shape)
        return picture[..., 0] if shape[-1] == 1 else picture
    if len(shape) == 3 and shape[0] in (1, 3):
        picture = row.reshape(shape)
        return picture[0] if shape[0] == 1 else np.moveaxis(picture, 0, -1)
    side = math.isqrt(row.size)
    return row.reshape(side, side) if side**2 == row.size else np.tile(row, (max(1, row.size // 8), 1))


def mosaic(images: Float[np.ndarray, "n d"], shape: Shape, columns: int) -> Float[np.ndarray, "height width *channels"]:
    """All images as one picture, row by row, with a white gap of `GAP` pixels between neighbours."""
    pictures = np.stack([as_picture(row, shape) for row in images])
    count, height, width, *channels = pictures.shape
    rows = math.ceil(count / columns)
    cells = np.ones((rows * columns, height + GAP, width + GAP, *channels), pictures.dtype)
    cells[:count, :height, :width] = pictures
    table = cells.reshape(rows, columns, height + GAP, width + GAP, *channels).swapaxes(1, 2)
    return table.reshape(rows * (height + GAP), columns * (width + GAP), *channels)[:-GAP, :-GAP]


def draw_grid(
    axes: Axes,
    images: Float[np.ndarray, "n d"],
    shape: Shape,
    columns: int,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> None:
    """Draw images in reading order on axes without ticks; an empty label leaves its row or column without one."""
    picture = mosaic(images, shape, columns)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(*_labelled(row_labels, picture.shape[0], math.ceil(len(images) / columns)))
    axes.set_xticks(*_labelled(column_labels, picture.shape[1], columns))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def grid_height(shape: Shape, rows: int, columns: int, labels: float = 0.0) -> float:
    """Inches of height for a grid of the figures' width less that of its `labels`, with title and note."""
    height, width = as_picture(np.zeros(math.prod(shape)), shape).shape[:2]
    return (WIDTH - labels) * rows * (height + GAP) / (columns * (width + GAP)) + 0.6


def _labelled(labels: Sequence[str], pixels: int, count: int) -> tuple[list[float], list[str]]:
    """The centres of the rows or columns that have a label, and the labels."""
    cell = (pixels + GAP) / count
    places = [(i * cell + (cell - GAP - 1) / 2, label) for i, label in enumerate(labels) if label]
    return [place for place, _ in places], [label for _, label in places]
