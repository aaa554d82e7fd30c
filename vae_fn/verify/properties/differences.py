"""Derivatives along a line by central differences, extrapolated, with an honest error (Ridders 1982).

For a smooth function the central difference of step h is off by a h**2 + b h**4 + ...; a tableau over shrinking steps
takes these terms out one after the other. An entry is off by about what it differs from the entries that it is made of,
and by what the rounding of the function's values does to it. For each value the best entry counts.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

RATIO = 4.0
"""Of one step to the next."""

STEPS = [RATIO**-k / 8 for k in range(12)]
"""From 1/8 to 3e-8, in units of the direction: the last ones are shorter than the way to most kinks."""

COLUMNS = 4
"""How many terms of the error are taken out at most."""

ROUNDINGS = 32 * torch.finfo(torch.float64).eps
"""How far off a value may be, relative to the largest on the line."""

SMALL = 6
"""From which step on a line is straight, so that what is left is the granularity of the function's own arithmetic."""

NEAR = 4
"""How many steps from the end one stands that is short, and still long enough for the rounding of the values."""

Values = Float64[Tensor, " d"]


class Slope(NamedTuple):
    """The derivatives of d values along a line, by differences; each row of `value` is right where its error is finite.

    Attributes:
        value: the best extrapolation, the central difference of a short step, and at kinks those of either side.
        error: how far off they may be, with a margin.
        kinked: whether the sides stay apart when steps shrink: a kink at the point, or closer than the steps.
    """

    value: Float64[Tensor, "4 d"]
    error: Float64[Tensor, "4 d"]
    kinked: Bool[Tensor, " d"]


def slope(line: Callable[[float], Values]) -> Slope:
    """The derivatives of `line(t)` at t = 0, from 25 calls."""
    steps = torch.tensor(STEPS, dtype=torch.float64)[:, None]
    centre = line(0.0)
    forwards, backwards = (torch.stack([line(sign * step) for step in STEPS]) for sign in (1.0, -1.0))
    size = torch.cat([centre[None], forwards, backwards]).abs().nan_to_num(0.0, posinf=0.0).amax(0)
    central, rounding = (forwards - backwards) / (2 * steps), ROUNDINGS * size / steps

    best, _ = _extrapolated(central, rounding)
    unexplained = steps * (central - best)
    granularity = unexplained[SMALL:].abs().nan_to_num(0.0, posinf=0.0).amax(0)
    best, error = _extrapolated(central, torch.maximum(rounding, 2 * granularity / steps))
    closest, noise = central[-NEAR], (central[-NEAR] - central[1 - NEAR]).abs() + rounding[-NEAR]

    sides = torch.stack([(centre - backwards) / steps, (forwards - centre) / steps])
    near, jump = -NEAR - 1, (sides[1] - sides[0]).abs()
    apart = jump[near] / jump[near - 2]
    kinked = (apart > 0.5) & (apart < 2) & (jump[near] > 4 * rounding[near])
    bent = (sides[:, near] - sides[:, near - 1]).abs() + rounding[near]
    value = torch.cat([torch.stack([best, closest]), sides[:, near]])
    error = torch.cat([torch.stack([10 * error, 4 * noise]), torch.where(kinked, 2 * bent, torch.inf)])
    return Slope(value, error.nan_to_num(torch.inf, torch.inf), kinked)


def _extrapolated(central: Float64[Tensor, "k d"], rounding: Float64[Tensor, "k d"]) -> tuple[Values, Values]:
    """The entry of the tableau with the smallest error, and that error, for each value."""
    value, error = central[-1], torch.full_like(central[-1], torch.inf)
    column = central
    for order in range(1, COLUMNS + 1):
        factor = RATIO ** (2 * order)
        finer = (factor * column[1:] - column[:-1]) / (factor - 1)
        off = (finer - column[:-1]).abs() + rounding[order:]
        off = torch.where(finer.isfinite() & off.isfinite(), off, torch.inf)
        best = off.min(0)
        better = best.values < error
        value = torch.where(better, finer.gather(0, best.indices[None])[0], value)
        error = torch.where(better, best.values, error)
        column = finer
    return value, error
