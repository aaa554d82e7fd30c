"""Draws reduced to what a test of their mean needs, in one pass and in memory that does not grow with their number."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Key, Tree
from vae_fn.verify.coordinates import Coordinates, tolerance_of

HEAD, LIVELY = 1024, 64
"""Rows of a chunk of draws that are compared with those of another key, and from how many different numbers on."""

NOTHING = torch.empty(0, 0, dtype=torch.float64)
"""No rows."""

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
        head: the first rows of the first chunk.
    """

    draws: int
    mean: Float64[Tensor, " d"]
    scale: Float64[Tensor, " d"]
    skewness: Float64[Tensor, " d"]
    width: Float64[Tensor, " d"]
    finite: Bool[Tensor, " d"]
    kept: Float64[Tensor, "n h"]
    rounding: float
    head: Float64[Tensor, "m h"] = NOTHING


def take(draw: Draw, key: Key, count: int, coordinates: Coordinates, centre: Float64[Tensor, " d"]) -> Sample:
    """Draw and reduce.

    Args:
        draw: the black box.
        key: each chunk of draws gets a key folded from it.
        count: how many draws.
        coordinates: of one draw.
        centre: what the mean is compared with; powers are summed about it, which loses nothing where the claim holds.

    Raises:
        ValueError: the draws are no tree of the coordinates, or two keys give the same.
    """
    chunk = max(1, ENTRIES // coordinates.size)
    sums = torch.zeros(4, coordinates.size, dtype=torch.float64)
    low, high = torch.full_like(centre, torch.inf), torch.full_like(centre, -torch.inf)
    watched, kept, rounding, first = torch.empty(0, dtype=torch.int64), [], 0.0, NOTHING
    for index, start in enumerate(range(0, count, chunk)):
        n = min(chunk, count - start)
        draws = draw(random.fold_in(key, index), n)
        rows = coordinates.flatten(draws, n) - centre
        squares = rows * rows
        powers = torch.stack([rows.sum(0), squares.sum(0), (squares * rows).sum(0), (squares * squares).sum(0)])
        low, high = torch.minimum(low, rows.amin(0)), torch.maximum(high, rows.amax(0))
        if index:
            check_fresh(first, head_of(rows))
        else:
            watched, first = _heaviest(powers / n), head_of(rows)
        sums, rounding = sums + powers, tolerance_of(tree.leaves(draws))
        kept.append(rows[:, watched])
    mean, second, third, _ = sums / count
    variance = (second - mean**2).clamp(min=0) * (count / max(1, count - 1))
    central = third - 3 * mean * second + 2 * mean**3
    scale = variance.sqrt()
    skewness = torch.where(variance > 0, central / scale**3, 0.0)
    finite = (high - low).isfinite() & sums[:3].isfinite().all(0)
    return Sample(count, mean, scale, skewness, high - low, finite, torch.cat(kept), rounding, first)


def head_of(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "m h"]:
    """The first rows, of few coordinates."""
    return rows[:HEAD, :TAILS].clone()


def check_fresh(one: Float64[Tensor, "m h"], other: Float64[Tensor, "n g"]) -> None:
    """Refuse a box whose draws do not depend on the key: no stage would then be a second look.

    Raises:
        ValueError: the rows of two keys are equal, and too many different numbers to be so by chance.
    """
    rows = min(len(one), len(other))
    if torch.equal(one[:rows], other[:rows]) and len(one[:rows].unique()) > LIVELY:
        raise ValueError("the draws of two keys are the same numbers: draw(key, n) must draw from the key that it gets")


def _heaviest(moments: Float64[Tensor, "4 d"]) -> Tensor:
    """The coordinates of the largest kurtosis about their means."""
    mean, second, third, fourth = moments
    variance = second - mean**2
    central = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
    kurtosis = torch.where(variance > 0, central / variance**2, 0.0).nan_to_num(0.0)
    return kurtosis.topk(min(TAILS, len(kurtosis))).indices
