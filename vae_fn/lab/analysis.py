"""Analysis of variance of gradients: what comes from the noise, and what from the mini-batch.

With n data and R draws of each, the mean square within the data is the variance of the noise; the mean square between
them, less that, is R times the variance of the data's mean gradients (a one-way random-effects analysis; Scheffe 1959,
chapter 7). A mini-batch of B data divides both by B; more samples or a better estimator lower the first alone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.lab.streaming import Sums
from vae_fn.types import Params


class Accumulated(NamedTuple):
    """What is kept of the data seen so far.

    Attributes:
        data: how many.
        value: the sum of their mean values.
        within: by coordinate, the sum of their variances.
        means: by coordinate, the sum of their mean deviations.
        squares: by coordinate, the sum of the squares of these.
        cosines: by group, the sum of their mean cosines.
    """

    data: int
    value: Float64[Tensor, ""]
    within: Params
    means: Params
    squares: Params
    cosines: dict[str, Float64[Tensor, ""]]


class Analysis(NamedTuple):
    """Gradients of one datum, averaged over the data.

    Attributes:
        draws: how many in all.
        value: the mean value.
        mean: the mean gradient.
        noise: by coordinate, the variance over the noise of one datum's gradient.
        between: by coordinate, that of the data's mean gradients; it may be estimated below 0, and is NaN of one datum.
        cosines: by group, the mean cosine of a draw to the reference.
    """

    draws: int
    value: Float64[Tensor, ""]
    mean: Params
    noise: Params
    between: Params
    cosines: dict[str, Float64[Tensor, ""]]


def datum(found: Sums, draws: int) -> Accumulated:
    """One datum's part, from the sums over two draws or more of it."""
    means = tree.scale(found.deviations, 1 / draws)
    within = tree.map(
        lambda square, mean: ((square - draws * mean**2) / (draws - 1)).clamp(min=0), found.squares, means
    )
    return Accumulated(
        1, found.value / draws, within, means, tree.map(torch.square, means), tree.scale(found.cosines, 1 / draws)
    )


def add(one: Accumulated, other: Accumulated) -> Accumulated:
    """Both together."""
    return Accumulated(one.data + other.data, *tree.add(tuple(one[1:]), tuple(other[1:])))


def analyse(found: Accumulated, draws: int, reference: Params) -> Analysis:
    """The components of variance, from all data with `draws` draws of each."""
    n = found.data
    noise, mean = tree.scale(found.within, 1 / n), tree.scale(found.means, 1 / n)

    def between(square: Tensor, mean: Tensor, noise: Tensor) -> Tensor:
        return (square - n * mean**2) / (n - 1) - noise / draws if n > 1 else torch.full_like(mean, torch.nan)

    return Analysis(
        n * draws,
        found.value / n,
        tree.map(lambda r, m: r.double() + m, reference, mean),
        noise,
        tree.map(between, found.squares, mean, noise),
        tree.scale(found.cosines, 1 / n),
    )
