"""Decoded pictures along ways through the latent space."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from vae_fn.types import Shape
from vae_fn.viz.deviation import normal_quantile
from vae_fn.viz.grids import draw_grid, grid_height
from vae_fn.viz.style import latent_axis, latent_name, new_figure, signed, styled


def quantiles(n: int) -> Float[np.ndarray, " n"]:
    """The quantiles (i - 1/2) / n of N(0, 1) for i = 1, ..., n: the middles of n intervals of equal mass."""
    return normal_quantile((np.arange(n) + 0.5) / n)


def manifold_latents(n: int, dim: int = 2) -> Float[np.ndarray, "n_by_n dim"]:
    """Latents on an n x n grid of the prior's quantiles in the first two of `dim` dimensions, 0 in the others.

    In reading order: z₁ grows to the right, and the top row has the largest z₂.
    """
    z1, z2 = np.meshgrid(quantiles(n), quantiles(n)[::-1])
    return np.concatenate([np.stack([z1.ravel(), z2.ravel()], 1), np.zeros((n * n, dim - 2))], 1)


@styled
def manifold(images: Float[np.ndarray, "n_by_n d"], shape: Shape) -> Figure:
    """The pictures decoded at `manifold_latents(n)`, in its order (Kingma & Welling 2013, figure 4)."""
    n = math.isqrt(len(images))
    figure = new_figure(
        "What the decoder makes of the latent plane",
        "Means of p(x | z) at the quantiles (i - ½)/n of the prior in each of the first two latents; others are 0.",
        grid_height(shape, n, n, labels=0.6) + 0.3,
    )
    axes = figure.subplots()
    ticks = set(np.linspace(0, n - 1, min(n, 6 + n % 2)).round().astype(int).tolist())
    labels = [signed(value, 1) if i in ticks else "" for i, value in enumerate(quantiles(n))]
    draw_grid(axes, images, shape, n, row_labels=labels[::-1], column_labels=labels)
    axes.set(xlabel=latent_axis(0), ylabel=latent_axis(1))
    return figure


@styled
def interpolations(
    linear: Float[np.ndarray, "k pairs d"],
    spherical: Float[np.ndarray, "k pairs d"],
    shape: Shape,
    names: Sequence[str] = (),
) -> Figure:
    """Pictures decoded on the way between two encodings, a pair to a row.

    Args:
        linear: decoded at `lerp(a, b, t)` for k equally spaced t from 0 to 1.
        spherical: decoded at `slerp(a, b, t)`.
        shape: of one image.
        names: of the pairs, to stand beside their rows; none, and there are none.
    """
    steps, pairs, _ = linear.shape
    note = "Decoded at k equally spaced places between the posterior means of two test images, which are the ends."
    height = grid_height(shape, 2 * pairs, steps, labels=0.45 if names else 0.0) + 0.5
    figure = new_figure("Interpolations between two encodings", note.replace(" k ", f" {steps} "), height)
    blocks = {"on the straight line": linear, "on the great circle, with linear length": spherical}
    for axes, (title, images) in zip(figure.subplots(2), blocks.items(), strict=True):
        draw_grid(axes, images.swapaxes(0, 1).reshape(steps * pairs, -1), shape, steps, row_labels=names)
        axes.set_title(title)
    return figure


def traversal_latents(
    start: Float[np.ndarray, " d"], values: Float[np.ndarray, " k"], dims: Sequence[int]
) -> Float[np.ndarray, "rows k d"]:
    """Copies of one latent vector, with each of `dims` in turn set to each of `values`."""
    latents = np.tile(start, (len(dims), len(values), 1))
    latents[np.arange(len(dims)), :, list(dims)] = values
    return latents


@styled
def traversals(
    images: Float[np.ndarray, "rows k d"], shape: Shape, values: Float[np.ndarray, " k"], dims: Sequence[int]
) -> Figure:
    """Pictures decoded while one latent moves and the others stay: a row for each latent.

    Args:
        images: decoded at `traversal_latents`.
        shape: of one image.
        values: of the moving latent, in standard deviations of the prior.
        dims: the moving latents, at most 16 to be readable; `most_active` chooses them.
    """
    note = "Means of p(x | z) while the latent named on the left takes the values below; the others stay as they are."
    figure = new_figure("One latent at a time", note, grid_height(shape, len(dims), len(values), labels=0.35) + 0.4)
    axes = figure.subplots()
    names = [latent_name(dim) for dim in dims]
    draw_grid(axes, images.reshape(-1, images.shape[-1]), shape, len(values), names, [signed(v, 1) for v in values])
    axes.set_xlabel("value of the moving latent (prior standard deviations)")
    return figure
