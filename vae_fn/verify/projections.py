"""Few directions of very many coordinates: a bias too thin to be seen in any one of them adds up along some.

Beside all coordinates, a wide vector is tested along the sum of each leaf and along the direction in which a pilot's
mean was off, each coordinate in its own standard deviations.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn.types import Key, Tree
from vae_fn.verify.coordinates import Coordinates, coordinates_of, vector
from vae_fn.verify.sample import Draw, take

WIDE = 1000
"""Coordinates from which projections are added."""

PILOT = 1024
"""Draws that are spent on the directions."""


def with_projections(draw: Draw, expected: Tree, pilot: Key) -> tuple[Draw, Tree]:
    """A black box and its expected value, each with a leaf `projections` beside its own tree, now under `value`.

    Fewer than `WIDE` coordinates are left as they are.
    """
    coordinates = coordinates_of(expected)
    if coordinates.size < WIDE:
        return draw, expected
    centre = vector(expected)
    directions = _directions(draw, coordinates, centre, pilot)

    def projected(key: Key, count: int) -> Tree:
        value = draw(key, count)
        along = (coordinates.flatten(value, count) - centre) @ directions
        return {"value": value, "projections": along}

    return projected, {"value": expected, "projections": torch.zeros(directions.shape[1], dtype=torch.float64)}


def _directions(
    draw: Draw, coordinates: Coordinates, centre: Float64[Tensor, " d"], pilot: Key
) -> Float64[Tensor, "d p"]:
    """The pilot's standardised mean, and a column of ones in standard deviations for each leaf.

    A column is as long as keeps the rounding of a projection that of a number of size 1, and its spread below that of
    the coordinates: what is forgiven, and what is resolved, stays in their unit.
    """
    sample = take(draw, pilot, PILOT, coordinates, centre)
    size = 1 + centre.abs()
    usable = sample.finite & (sample.width > sample.rounding * size) & (sample.scale > 0)
    weight = torch.where(usable, 1 / sample.scale, 0.0)
    off = torch.where(usable, sample.mean * weight, 0.0)
    leaf = torch.repeat_interleave(torch.arange(len(coordinates.sizes)), torch.tensor(coordinates.sizes))
    sums = torch.nn.functional.one_hot(leaf, len(coordinates.sizes)).double()
    columns = torch.cat([off[:, None], sums], 1) * weight[:, None]
    length = size @ columns.abs()
    return columns / torch.where(length > 0, length, 1)
