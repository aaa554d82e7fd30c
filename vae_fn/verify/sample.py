"""Draws reduced to what a test of their mean needs, in one pass and in memory that does not grow with their number."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Key, Tree
from vae_fn.verify.coordinates import Coordinates, tolerance_of

Draw = Callable[[Key, int], Tree]
"""`draw(key, n)`: n independent draws, a tensor or a pytree with n in front of every leaf."""

ENTRIES = 2**20
"""Entries of draws that are held at a time: at four times as many, every array is fresh memory, and twice as slow."""

TAILS = 8
"""Coordinates whose values are kept, for the shape of their tails: the most kurtotic of the first chunk."""


class Sample(NamedTuple):
    """n draws of d coordinates about a centre.

    Attributes:
        draws: n.
        mean: minus the centre.
        scale: the standard deviation.
        skewness: the standardised third moment, 0 where nothing varies.
        width: the largest value minus the smallest, exactly 0 for a constant.
        finite: whether all draws of a coordinate were finite, and the sums of their powers.
        kept: all values, minus the centre, of the coordinates with the heaviest tails.
        rounding: how far a mean may be off by the dtype of the draws alone, relative to 1 + |centre|.
    """

    draws: int
    mean: Float64[Tensor, " d"]
    scale: Float64[Tensor, " d"]
    skewness: Float64[Tensor, " d"]
    width: Float64[Tensor, " d"]
    finite: Bool[Tensor, " d"]
    kept: Float64[Tensor, "n h"]
    rounding: float


def take(draw: Draw, key: Key, count: int, coordinates: Coordinates, centre: Float64[Tensor, " d"]) -> Sample:
    """Draw and reduce.

    Args:
        draw: the black box.
        key: each chunk of draws gets a key folded from it.
        count: how many draws.
        coordinates: of one draw.
        centre: what the mean is compared with; powers are summed about it, which loses nothing where the claim holds.

    Raises:
        ValueError: the draws are no tree of the coordinates.
    """
    chunk = max(1, ENTRIES // coordinates.size)
    sums = torch.zeros(4, coordinates.size, dtype=torch.float64)
    low, high = torch.full_like(centre, torch.inf), torch.full_like(centre, -torch.inf)
    watched, kept, rounding = torch.empty(0, dtype=torch.int64), [], 0.0
    for index, start in enumerate(range(0, count, chunk)):
        n = min(chunk, count - start)
        draws = draw(random.fold_in(key, index), n)
        rows = coordinates.flatten(draws, n) - centre
        squares = rows * rows
        powers = torch.stack([rows.sum(0), squares.sum(0), (squares * rows).sum(0), (squares * squares).sum(0)])
        low, high = torch.minimum(low, rows.amin(0)), torch.maximum(high, rows.amax(0))
        watched = watched if index else _heaviest(powers / n)
        sums, rounding = sums + powers, tolerance_of(tree.leaves(draws))
        kept.append(rows[:, watched])
    mean, second, third, _ = sums / count
    variance = (second - mean**2).clamp(min=0) * (count / max(1, count - 1))
    central = third - 3 * mean * second + 2 * mean**3
    scale = variance.sqrt()
    skewness = torch.where(variance > 0, central / scale**3, 0.0)
    finite = (high - low).isfinite() & sums[:3].isfinite().all(0)
    return Sample(count, mean, scale, skewness, high - low, finite, torch.cat(kept), rounding)


def _heaviest(moments: Float64[Tensor, "4 d"]) -> Tensor:
    """The coordinates of the largest kurtosis about their means."""
    mean, second, third, fourth = moments
    variance = second - mean**2
    central = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
    kurtosis = torch.where(variance > 0, central / variance**2, 0.0).nan_to_num(0.0)
    return kurtosis.topk(min(TAILS, len(kurtosis))).indices
