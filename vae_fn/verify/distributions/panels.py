"""Integrals over lines of functions of which nothing is known but their values.

Each line is cut at points around the peak of a density, ever further apart, and each panel is halved until its halves
give what it gives: kinks and jumps end up in panels too narrow to matter, wherever they are. Many lines are integrated
at once, each with panels of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

Points = Float64[Tensor, "n l"]
"""n points on each of l lines."""

LogDensity = Callable[[Points], Points]
Integrand = Callable[[Points], Float64[Tensor, "n l c"]]

ORDER = 10
HALVINGS = 48

MOST = 2**11
"""The most panels of a line that are halved at once: what needs more is not integrated."""

TOLERANCE = 1e-13
"""The change by halving that is forgiven, relative to the integral of the absolute value over all panels."""

REMAINDER = 1e-9
"""The change by the last halvings that is forgiven, relative as before: a pole of the density converges slowly."""

NOTHING = 1e-60
"""The change that is forgiven whatever the integral: far out, densities have few digits left."""

DOUBLINGS = 50
"""How far from where it starts, in doublings of a unit and in halvings, the search for a peak looks."""

SPACING = torch.finfo(torch.float64).eps

NEGLIGIBLE = 50.0
"""How far, in nats below its peak, a density is followed: exp(-50) = 2e-22."""

Line = tuple[Float64[Tensor, " k"], Float64[Tensor, " k"]]


def _legendre(order: int) -> Line:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return torch.from_numpy(nodes), torch.from_numpy(weights)


def _lobatto(order: int) -> Line:
    """Nodes and weights on [-1, 1] with both ends among the nodes, so that a jump beside one is seen."""
    legendre = np.polynomial.Legendre.basis(order - 1)
    nodes = np.concatenate([[-1.0], legendre.deriv().roots().real, [1.0]])
    return torch.from_numpy(nodes), torch.from_numpy(2 / (order * (order - 1) * legendre(nodes) ** 2))


OPEN: Line = _legendre(ORDER)
"""Gauss-Legendre: what panels are integrated with in the end."""

CLOSED: Line = _lobatto(ORDER)
"""Gauss-Lobatto: what they are compared with their halves by."""


Panels = tuple[Float64[Tensor, "p l"], Float64[Tensor, "p l"]]
"""Where p panels of each line begin and end; some of no width."""


class NotIntegratedError(ArithmeticError):
    """An integral that would take too many panels."""


class Rule(NamedTuple):
    """Nodes and weights on each of l lines: an integral is the sum of `weights * fn(nodes)`."""

    nodes: Points
    weights: Points


class Peak(NamedTuple):
    """Where a density is largest, how far it takes to fall by one nat, and its logarithm there."""

    place: Float64[Tensor, " l"]
    width: Float64[Tensor, " l"]
    height: Float64[Tensor, " l"]


def find_peak(
    log_density: LogDensity,
    start: Points,
    unit: Float64[Tensor, " l"],
    rounds: int = 8,
    doublings: int = DOUBLINGS,
) -> Peak:
    """The highest point near `start` on each line, looking ever further away, and from there again.

    Args:
        log_density: in nats, up to a constant for each line; -inf where there is no mass.
        start: points to begin with.
        unit: a length on each line; within a factor of 2**doublings of the width.
        rounds: how often to look.
        doublings: how far to look.
    """
    steps = unit * 2.0 ** torch.arange(-doublings, doublings + 1, dtype=torch.float64).unsqueeze(-1)
    place = start.gather(0, log_density(start).argmax(0, keepdim=True))
    for _ in range(rounds):
        points = torch.cat([place, place - steps, place + steps])
        place = points.gather(0, log_density(points).argmax(0, keepdim=True))
    height = log_density(place)
    around = torch.maximum(log_density(place - steps), log_density(place + steps)) - height
    width = steps.gather(0, _first(around < -1).unsqueeze(0))
    return Peak(place.squeeze(0), width.squeeze(0), height.squeeze(0))


def edges_around(
    log_density: LogDensity, peak: Peak, points: Points, doublings: int = DOUBLINGS
) -> Float64[Tensor, "e l"]:
    """Where to cut: at the peak and at given points, and ever wider apart on both sides until nothing is left.

    Args:
        log_density: in nats.
        peak: its peak.
        points: where else there may be mass, or kinks.
        doublings: how far, in doublings of the distance between the outermost of these, the density is followed.
    """
    low = torch.minimum(peak.place - peak.width, points.amin(0))
    high = torch.maximum(peak.place + peak.width, points.amax(0))
    steps = (high - low) * 2.0 ** torch.arange(-2, doublings, dtype=torch.float64).unsqueeze(-1)
    left, right = (_until(log_density(side) < peak.height - NEGLIGIBLE, steps) for side in (low - steps, high + steps))
    most = int(torch.log2((high - low) / peak.width).amax().ceil())
    inward = peak.width * torch.cat([torch.tensor([0.0, 0.5]), 2.0 ** torch.arange(most)]).double().unsqueeze(-1)
    inside = torch.cat([peak.place - inward, peak.place + inward]).clamp(low, high)
    return torch.cat([low - left, inside, points, high + right]).sort(0).values


def adapt(fn: Integrand, edges: Float64[Tensor, "e l"], cuts: Float64[Tensor, "m l"] | None = None) -> Rule:
    """A rule for all columns of `fn`, from panels between `edges` that are halved as long as it changes anything.

    Args:
        fn: what the rule must integrate: a density, and columns that are right to the rounding of the density.
        edges: of the panels to begin with, in increasing order.
        cuts: further points between the first edge and the last where panels of the rule must end.

    Raises:
        NotIntegratedError: it takes more than `MOST` panels on a line, and what is left is no `REMAINDER`.
    """
    low, high = edges[:-1], edges[1:]
    whole, accepted, done = _integrals(fn, low, high)[0], [], torch.zeros(())
    for halving in range(HALVINGS):
        middle = (low + high) / 2
        halves, rough = _integrals(fn, torch.cat([low, middle]), torch.cat([middle, high]))
        one, two = halves.chunk(2)
        size, change = done + halves.abs().sum(0), (one + two - whole).abs()
        size = torch.maximum(size, size[..., :1])
        agree = (change <= TOLERANCE * size + sum(rough.chunk(2)) + NOTHING).all(-1)
        if halving == HALVINGS - 1 or 2 * int((~agree).sum(0).max()) > MOST:
            _settle(torch.where(agree.unsqueeze(-1), 0.0, change).sum(0), size)
            agree = torch.ones_like(agree)
        accepted.append(_packed(low, high, agree))
        if bool(agree.all()):
            break
        done = done + torch.where(agree.unsqueeze(-1), (one + two).abs(), 0.0).sum(0)
        again = ~agree.repeat(2, 1)
        low, high = _packed(torch.cat([low, middle]), torch.cat([middle, high]), again)
        whole = _packed_values(halves, again)
    return _rule(*_cut(accepted, edges[-1:], cuts), OPEN)


def _settle(change: Float64[Tensor, "l c"], size: Float64[Tensor, "l c"]) -> None:
    """Take what the last halvings changed, if it is little."""
    if bool((change > REMAINDER * size + NOTHING).any()):
        raise NotIntegratedError("the function is too rough to be integrated by panels")


def _cut(panels: list[tuple[Tensor, Tensor]], end: Float64[Tensor, "1 l"], cuts: Points | None) -> Panels:
    """The panels, which tile the line up to its end, with further cuts."""
    low = torch.cat([low for low, _ in panels])
    edges = torch.cat([low, *([] if cuts is None else [cuts]), end]).sort(0).values
    keep = edges.diff(dim=0) > 0
    return _packed(edges[:-1], edges[1:], keep)


def _integrals(fn: Integrand, low: Points, high: Points) -> tuple[Float64[Tensor, "n l c"], Float64[Tensor, "n l c"]]:
    """The integral over each panel, and how far it may be off because nodes are rounded."""
    rule = _rule(low, high, CLOSED)
    values = fn(rule.nodes).nan_to_num(0.0, posinf=0.0, neginf=0.0).unflatten(0, (len(low), ORDER))
    integrals = (rule.weights.unflatten(0, (len(low), ORDER)).unsqueeze(-1) * values).sum(1)
    rise = values.amax(1) - values.amin(1)
    return integrals, 4 * SPACING * torch.maximum(low.abs(), high.abs()).unsqueeze(-1) * rise


def _rule(low: Points, high: Points, line: Line) -> Rule:
    (nodes, weights), half = line, ((high - low) / 2).unsqueeze(1)
    places = low.unsqueeze(1) + half * (1 + nodes.unsqueeze(-1))
    return Rule(places.flatten(0, 1), (half * weights.unsqueeze(-1)).flatten(0, 1))


def _packed(low: Points, high: Points, keep: Bool[Tensor, "n l"]) -> Panels:
    """The panels to keep, moved to the front of each line, and panels of no width where a line has fewer."""
    order, kept = _order(keep)
    low, high = low.gather(0, order), high.gather(0, order)
    return low, torch.where(kept, high, low)


def _packed_values(values: Float64[Tensor, "n l c"], keep: Bool[Tensor, "n l"]) -> Float64[Tensor, "m l c"]:
    order, kept = _order(keep)
    values = values.gather(0, order.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
    return torch.where(kept.unsqueeze(-1), values, 0.0)


def _order(keep: Bool[Tensor, "n l"]) -> tuple[Tensor, Bool[Tensor, "m l"]]:
    most = int(keep.sum(0).max())
    kept, order = keep.sort(dim=0, descending=True, stable=True)
    return order[:most], kept[:most]


def _first(found: Bool[Tensor, "n l"]) -> Tensor:
    """The first index at which something was found; the last one if nowhere."""
    return torch.where(found.any(0), found.int().argmax(0), len(found) - 1)


def _until(nothing: Bool[Tensor, "n l"], steps: Points) -> Float64[Tensor, "m l"]:
    """The steps up to the first after which there is nothing any more; shorter lines repeat their last."""
    last = len(steps) - _first(~nothing.flip(0))
    last = torch.where(nothing.all(0), 0, last).clamp(max=len(steps) - 1)
    index = torch.minimum(torch.arange(int(last.max()) + 1).unsqueeze(-1), last)
    return steps.gather(0, index)
