"""Derivatives three ways: reverse mode against forward mode against central differences, in float64."""

import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Key, Tree
from vae_fn.verify.coordinates import Coordinates, as_tensors, coordinates_of, vector
from vae_fn.verify.properties.arguments import arguments, is_floating
from vae_fn.verify.properties.differences import Slope, slope
from vae_fn.verify.properties.results import NARROW, distance
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Status, Verdict
from vae_fn.words import counted

ROUNDING = 1e-9
"""What is forgiven, relative to the largest slope of the result: no wrong formula is off by so little."""

WIDEST = 1e-4
"""The widest error of a difference that still says something, relative to the largest slope."""

Named = dict[str, Tensor]
"""Floating-point leaves by name: values, directions or slopes."""


def gradients(fn: Callable[..., Tree], *args: Tree, name: str | None = None) -> Verdict:
    """Check the derivatives of a function in all of its floating-point arguments.

    Along a random direction in each leaf of the arguments alone, and one in all of them, every number of the result
    must have the same slope by forward mode and by central differences, whose error is known; and reverse mode must
    agree with forward mode, or with the differences where an operation has no forward mode. Directions are hashed from
    name and arguments; a number moves in proportion to its size, so that positive ones stay positive.

    Args:
        fn: a pure function to a tensor or a pytree. With a cut (`detach`) in it, its gradient is not its slope.
        args: pytrees whose floating-point tensors are taken in float64.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` where two of the three differ, or a derivative is not finite though the slope is; `inconclusive` at a
        kink (a derivative between the one-sided slopes) and where the differences do not settle. `gap` and `resolvable`
        are in the unit of the result, for a step of about the size of the arguments.

    Raises:
        ValueError: there are no floating-point numbers among the arguments, or in the result.
    """
    start, label = time.perf_counter(), name_of(fn, name)
    given = arguments(fn, args).to(torch.float64)
    if not given.varied:
        raise ValueError("there is nothing to differentiate in: give floating-point tensors")

    def function(values: Named) -> Named:
        named = tree.flat_names(as_tensors(fn(*given.at(values).tuple)))
        return {path: leaf for path, leaf in named.items() if is_floating(leaf)}

    if not function(given.varied):
        raise ValueError("there is nothing to differentiate: its result has no floating-point numbers")
    key = given.key(label, "directions")
    directions = _directions(given.varied, key)
    found = [
        finding
        for index, (moved, step) in enumerate(directions.items())
        for finding in _along(function, given.varied, step, moved, random.fold_in(key, index))
    ]
    gravest = max(found, key=lambda finding: (_GRAVITY.index(finding.status), finding.ratio))
    detail = (
        gravest.detail if gravest.status != "passed" else f"{counted(len(directions), 'direction')}: {gravest.detail}"
    )
    seconds = time.perf_counter() - start
    return Verdict("gradients", label, "deterministic", gravest.status, detail, *gravest.measured, seconds=seconds)


_GRAVITY: list[Status] = ["passed", "inconclusive", "rejected"]


class _Finding(NamedTuple):
    """What one comparison along one direction showed.

    Attributes:
        status: of the direction.
        detail: in words.
        ratio: of the difference to what is allowed.
        measured: the difference, what is allowed, and the coordinate of the result.
    """

    status: Status
    detail: str
    ratio: float
    measured: tuple[float, float, str]


def _directions(values: Named, key: Key) -> dict[str, Named]:
    """A step of every leaf alone, and one of all together, by what moves."""
    steps = {}
    for own, (path, value) in zip(random.split(random.fold_in(key, -1), len(values)), values.items(), strict=True):
        size = value.abs()
        typical = size.square().mean().sqrt()
        size = torch.where(size > 0, size, torch.where(typical > 0, typical, 1.0))
        steps[path] = size * _signed(own, value)
    still = {path: torch.zeros_like(value) for path, value in values.items()}
    alone = {path: still | {path: step} for path, step in steps.items()}
    return alone | ({"all arguments": steps} if len(steps) > 1 else {})


def _signed(key: Key, like: Tensor) -> Tensor:
    """Random numbers of size 1/2 to 1 and of both signs."""
    u = 2 * random.uniform(key, tuple(like.shape), torch.float64).to(like.device) - 1
    return (u + u.sign()) / 2


def _along(function: Callable[[Named], Named], values: Named, step: Named, moved: str, key: Key) -> list[_Finding]:
    """Both comparisons along one direction; where forward mode is missing, reverse mode against the differences."""
    result, pull = torch.func.vjp(function, values)[:2]
    weights = _weights(result, key)
    gradient = pull(weights)[0]
    backward = torch.stack([(gradient[path] * step[path]).sum() for path in values]).sum()

    def line(t: float) -> Float64[Tensor, " d"]:
        return vector(function({path: value + t * step[path] for path, value in values.items()}))

    forward = _forward(function, values, step)
    if forward is None:
        total = {"sum of the result, weighted": torch.ones((), dtype=torch.float64)}
        differences = slope(lambda t: (vector(weights) @ line(t))[None])
        return [_against_differences("reverse mode", backward[None], differences, total, moved)]
    found = _against_differences("forward mode", forward, slope(line), result, moved)
    parts = (vector(weights) * forward, *((gradient[path] * step[path]).reshape(-1) for path in values))
    rounding = ROUNDING if found.status == "passed" else NARROW
    return [
        found,
        _against_forward(backward, parts[0].sum(), rounding * float(torch.cat(parts).abs().nan_to_num().sum()), moved),
    ]


def _weights(result: Named, key: Key) -> Named:
    """Random weights under which every leaf counts about as much as any other."""
    weights = {}
    for own, (path, leaf) in zip(random.split(key, len(result)), result.items(), strict=True):
        size = leaf.detach().square().mean().sqrt()
        weights[path] = _signed(own, leaf) / torch.where((size > 0) & size.isfinite(), size, 1.0)
    return weights


def _forward(function: Callable[[Named], Named], values: Named, step: Named) -> Float64[Tensor, " d"] | None:
    """The slopes by forward mode; None where an operation has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch.jit, which torch's own rules for jvp still use
        try:
            return vector(torch.func.jvp(function, (values,), (step,))[1])
        except (NotImplementedError, RuntimeError):
            return None


def _against_differences(way: str, derivative: Float64[Tensor, " d"], by: Slope, result: Named, moved: str) -> _Finding:
    """Slopes by one way against central differences, number by number of the result."""
    coordinates = coordinates_of(result)
    best = by.value[0]
    largest = _by_leaf(coordinates, best.abs().nan_to_num(0.0, posinf=0.0))
    useful = WIDEST * torch.maximum(largest, WIDEST * _by_leaf(coordinates, vector(result).abs()))
    gaps, allowed = distance(derivative.expand_as(by.value), by.value), by.error + ROUNDING * largest
    ratios = torch.where(gaps == 0, 0.0, gaps / allowed)
    trusted = torch.where(allowed <= useful, ratios, torch.inf)
    agrees = (trusted <= 1).any(0)
    wrong = ~agrees & (gaps[0] > allowed[0])
    kink = wrong & by.kinked & (derivative >= by.value[2:].amin(0)) & (derivative <= by.value[2:].amax(0))

    def finding(status: Status, where: Tensor, explained: str) -> _Finding:
        chosen = torch.where(agrees, trusted.argmin(0), 0)[None]
        gap, limit, ratio = (each.gather(0, chosen)[0] for each in (gaps, allowed, ratios))
        at = int(torch.where(where, ratio.nan_to_num(0.0), -1.0).argmax())
        said = f"{explained} in {coordinates.name(at)} along {moved}: {float(derivative[at]):.9g} by {way}, "
        said += f"{float(by.value.gather(0, chosen)[0][at]):.9g} by differences"
        return _Finding(status, said, float(ratio[at]), (float(gap[at]), float(limit[at]), coordinates.name(at)))

    if bool((wrong & ~kink).any()):
        return finding("rejected", wrong & ~kink, "another slope")
    if bool(kink.any()):
        return finding("inconclusive", kink, "a kink, move the arguments off it,")
    if not bool((agrees | wrong).all()):
        return finding("inconclusive", ~(agrees | wrong), "the differences do not settle")
    return finding("passed", torch.ones_like(wrong), "closest call")


def _against_forward(backward: Tensor, forward: Tensor, allowed: float, moved: str) -> _Finding:
    """One weighted sum of slopes by reverse mode and by forward mode."""
    gap = float(distance(backward, forward))
    ratio = gap / allowed if gap else 0.0
    said = f"{float(backward):.9g} by reverse mode, {float(forward):.9g} by forward mode, along {moved}"
    return _Finding("rejected" if ratio > 1 else "passed", said, ratio, (gap, allowed, moved))


def _by_leaf(coordinates: Coordinates, values: Float64[Tensor, " d"]) -> Float64[Tensor, " d"]:
    """The largest value of the leaf that each number belongs to."""
    parts = values.split(coordinates.sizes)
    return torch.cat([part.max().expand(len(part)) if len(part) else part for part in parts])
