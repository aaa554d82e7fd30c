"""The exact tier: where noise is an argument, an expectation is an integral, and chance has no part in it.

A sum over nodes stands for the mean over noise. Two orders must agree, else nothing is claimed. A bias is seen at 1e-8
of the value where sampling would need 1e16 draws; the same sum gives exact variances.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.gradients.oracles.moments import Moments, moments, relative
from vae_fn.gradients.oracles.nodes import Nodes
from vae_fn.types import Tree
from vae_fn.verify.coordinates import Coordinates, as_tensors, coordinates_of, expand_like, tolerance_of, vector
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Verdict

TOLERANCE = 1e-8
"""The gap that is forgiven in float64, relative to 1 + |value|; in float32 it is 1e-5."""


def exact(
    fn: Callable[[Tree], Tree],
    expected: Tree,
    noise: int | Tree | Nodes,
    *,
    name: str | None = None,
    order: int | None = None,
    breaks: Tree | None = None,
    tolerance: float | None = None,
) -> Verdict:
    """Check that the mean of `fn(noise)` over its noise is `expected`.

    Args:
        fn: as in `moments`, and so are `noise`, `order` and `breaks`.
        expected: a tree like one value of it, or one number for all coordinates.
        noise: what `fn` takes.
        name: of what is checked; by default where `fn` is defined.
        order: of the rule.
        breaks: of uniform noise.
        tolerance: the gap that is forgiven, relative to 1 + |expected|; 1e-8 in float64, 1e-5 in narrower dtypes.

    Returns:
        `biased` where the gap is larger than that; `rejected` where a mean or `expected` is not finite; `inconclusive`
        where two orders differ by more. A spike that lies between the nodes of both orders is seen by neither.

    Raises:
        ValueError: the tolerance is negative; and as `moments`.
    """
    start = time.perf_counter()
    found = moments(fn, noise, order=order, breaks=breaks)
    return replace(
        _judge(fn, "mean", found, found.mean, found.errors[0], expected, name, tolerance),
        seconds=time.perf_counter() - start,
    )


def exact_variance(
    fn: Callable[[Tree], Tree],
    expected: Tree,
    noise: int | Tree | Nodes,
    *,
    name: str | None = None,
    order: int | None = None,
    breaks: Tree | None = None,
    tolerance: float | None = None,
) -> Verdict:
    """Check that the variance of one draw of `fn(noise)` is `expected`, coordinate by coordinate; as `exact`."""
    start = time.perf_counter()
    found = moments(fn, noise, order=order, breaks=breaks)
    verdict = _judge(fn, "variance", found, found.variance, found.errors[1], expected, name, tolerance)
    return replace(verdict, seconds=time.perf_counter() - start)


def _judge(
    fn: Callable,
    claim: str,
    found: Moments,
    actual: Tree,
    error: float,
    expected: Tree,
    name: str | None,
    tolerance: float | None,
) -> Verdict:
    expected = as_tensors(expand_like(expected, actual))
    coordinates = coordinates_of(expected)
    exact, seen = vector(expected), _checked(coordinates, actual)
    if tolerance is None:
        rounding = tolerance_of(tree.leaves(actual))
        tolerance = TOLERANCE if rounding < 1e-6 else max(1e3 * TOLERANCE, rounding)
    gaps = (seen - exact).abs()
    if not tolerance >= 0:
        raise ValueError(f"tolerance is what is forgiven, 0 or more, not {tolerance}")
    at = int(relative(exact, seen).nan_to_num(torch.inf).argmax())
    gap, allowed = float(gaps[at]), tolerance * float(1 + exact[at].abs())
    resolvable = tolerance * float(1 + exact.abs().max())
    said = f"{float(seen[at]):.9g} where {float(exact[at]):.9g} is expected, at {coordinates.name(at)}"
    if not bool((seen.isfinite() & exact.isfinite()).all()):
        status, detail = "rejected", f"not finite: {said}"
    elif not error <= tolerance:
        status = "inconclusive"
        detail = (
            f"two orders of the integral differ by {error:.1e}, more than {tolerance:.0e}: "
            "give breaks where the integrand jumps, raise the order, or sample"
        )
    elif gap <= allowed:
        status, detail = "passed", f"within {gap:.1e}"
    else:
        status, detail = "biased", said
    return Verdict(
        claim, name_of(fn, name), "exact", status, detail, gap, resolvable, coordinates.name(at), draws=found.nodes
    )  # fmt: skip


def _checked(coordinates: Coordinates, actual: Tree) -> Float64[Tensor, " d"]:
    return coordinates.flatten(tree.map(lambda leaf: leaf.unsqueeze(0), actual), 1)[0]
