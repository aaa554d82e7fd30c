"""Two results of a function held against each other, number by number."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors, coordinates_of, vector
from vae_fn.verify.verdict import Verdict

TOLERANCE, NARROW = 1e-9, 1e-5
"""What rounding may do to a leaf in float64, and in narrower dtypes, relative to its largest number."""

CANCELLED = 1e-4
"""The size that is added to that of a leaf: a sum that cancels has the rounding of what was summed."""


class Gap(NamedTuple):
    """Where two results lie furthest apart, measured by what is allowed there.

    Attributes:
        ratio: of the distance to what is allowed; above 1 is too much.
        distance: there.
        allowed: there.
        coordinate: its name.
        said: both numbers, in words.
    """

    ratio: float
    distance: float
    allowed: float
    coordinate: str
    said: str


def differing_shapes(result: Tree, expected: Tree, *, dtypes: bool = True) -> str | None:
    """How the leaves of two results differ in path, shape or dtype, in words; None where they agree."""
    one, other = _described(result, dtypes), _described(expected, dtypes)
    if list(one) != list(other):
        return f"the leaves are {', '.join(one)} where {', '.join(other)} are expected"
    for name, said in one.items():
        if said != other[name]:
            return f"{name or 'the result'} is {said} where {other[name]} is expected"
    return None


def distance(one: Float64[Tensor, "*s"], other: Float64[Tensor, "*s"]) -> Float64[Tensor, "*s"]:
    """|one - other|; 0 where both are the same infinity or both not a number, infinite where only one is finite."""
    same = (one == other) | (one.isnan() & other.isnan())
    return torch.where(same, 0.0, (one - other).abs().nan_to_num(torch.inf))


def widest(result: Tree, expected: Tree, allowed: Float64[Tensor, " d"]) -> Gap:
    """The gap between two results of the same leaves."""
    one, other = vector(result), vector(expected)
    gaps = distance(one, other)
    ratio = torch.where(gaps == 0, 0.0, gaps / allowed)
    at = int(ratio.argmax())
    coordinate = coordinates_of(expected).name(at)
    said = f"{float(one[at]):.9g} where {float(other[at]):.9g} is expected, at {coordinate}"
    return Gap(float(ratio[at]), float(gaps[at]), float(allowed[at]), coordinate, said)


class Comparison(NamedTuple):
    """A result, what it must be, and how far off each of its numbers may be.

    Attributes:
        what: of what it is the result, in words.
        found: the result.
        expected: a tree of the same leaves.
        allowed: by number of the result.
    """

    what: str
    found: Tree
    expected: Tree
    allowed: Float64[Tensor, " d"]


def refused(claim: str, name: str, start: float, detail: str) -> Verdict:
    """The verdict of something that has no result to compare."""
    return Verdict(claim, name, "deterministic", "rejected", detail, seconds=time.perf_counter() - start)


def undecided(claim: str, name: str, start: float, detail: str) -> Verdict:
    """The verdict of something at which the claim cannot be judged."""
    return Verdict(claim, name, "deterministic", "inconclusive", detail, seconds=time.perf_counter() - start)


def not_a_number(result: Tree) -> str | None:
    """The first leaf of a result with something that is not a number, which equals nothing, in words."""
    for name, leaf in tree.flat_names(as_tensors(result)).items():
        if bool(leaf.isnan().any()):
            return f"{name or 'its result'} is not a number: give arguments at which it is one"
    return None


def stands(claim: str, name: str, start: float, detail: str) -> Verdict:
    """The verdict of a claim that stands, where there is nothing to measure."""
    return Verdict(claim, name, "deterministic", "passed", detail, seconds=time.perf_counter() - start)


def judged(claim: str, name: str, start: float, comparisons: Sequence[Comparison]) -> Verdict:
    """The verdict of several comparisons: `rejected` where any has other shapes or a gap wider than allowed.

    What agrees on not being a number is `inconclusive`.
    """
    worst, what = None, ""
    for each in comparisons:
        if said := differing_shapes(each.found, each.expected, dtypes=False):
            return refused(claim, name, start, f"{each.what}: {said}")
        gap = widest(each.found, each.expected, each.allowed)
        if worst is None or gap.ratio > worst.ratio:
            worst, what = gap, each.what
    if worst is None:
        raise ValueError("there is nothing to compare")
    wrong = worst.ratio > 1
    if not wrong and (said := next(filter(None, (not_a_number(each.expected) for each in comparisons)), None)):
        return undecided(claim, name, start, said)
    return Verdict(
        claim,
        name,
        "deterministic",
        "rejected" if wrong else "passed",
        f"{what}: {worst.said}" if wrong else f"within {worst.distance:.1e}",
        gap=worst.distance,
        resolvable=worst.allowed,
        coordinate=worst.coordinate,
        seconds=time.perf_counter() - start,
    )


def rounding(expected: Tree) -> Float64[Tensor, " d"]:
    """What rounding alone may change, leaf by leaf relative to its largest number; nothing in integers."""
    return torch.cat([_rounding(leaf).expand(leaf.numel()) for leaf in tree.leaves(expected)])


def _rounding(leaf: Tensor) -> Float64[Tensor, ""]:
    if not leaf.is_floating_point() or not leaf.numel():
        return torch.zeros((), dtype=torch.float64)
    relative = TOLERANCE if leaf.dtype == torch.float64 else NARROW
    size = leaf.detach().double().abs()
    return relative * (CANCELLED + torch.where(size.isfinite(), size, 0.0).max())


def _described(result: Tree, dtypes: bool) -> dict[str, str]:
    named = tree.flat_names(as_tensors(result))
    return {
        name: f"{tuple(leaf.shape)} {leaf.dtype}" if dtypes else f"{tuple(leaf.shape)}" for name, leaf in named.items()
    }
