"""Finite values and gradients over an envelope of magnitudes, which is found."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.errors import lacks_memory
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.places import raised
from vae_fn.verify.properties.arguments import Arguments, arguments, is_floating
from vae_fn.verify.properties.envelope import Domain, Space, magnitudes, points, space
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Status, Verdict

CHUNK = 2**15
"""Numbers in the arguments of the points at a time: few enough that an operation on them takes one thread."""


def finite(
    fn: Callable[..., Tree],
    *args: Tree,
    promise: float = 1e4,
    domains: Mapping[str, Domain] | None = None,
    name: str | None = None,
) -> Verdict:
    """Check that value and gradient are finite for all arguments up to a magnitude.

    Every floating-point argument takes zeros, tiny and large numbers of both signs up to the promise, in combination
    with those of the others. Beyond the promise decades are tried by bisection, to see how far it holds.

    Args:
        fn: a pure function to a tensor or a pytree; it is vmapped over many arguments at a time, in their dtypes.
        args: shapes and dtypes of its arguments, and the values of those that stay as they are.
        promise: the magnitude up to which everything is to be finite.
        domains: for arguments that are not scaled, by name or by a path into one (`params/decoder`): the bounds that
            they stay in, as `(0, 1)` for targets and `(-8, 8)` for noise, or None to leave them as they are. The
            gradient is taken in the scaled arguments.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` where something within the promise is not finite, saying what and where; `inconclusive` where the
        function cannot be vmapped. `statistic` is the envelope, the largest magnitude tried up to which all is finite.

    Raises:
        ValueError: a domain is for no argument or has no inside, nothing is left to scale or to look at, or the promise
            is not positive.
    """
    start, label, given = time.perf_counter(), name_of(fn, name), arguments(fn, args)
    if not 0 < promise < torch.inf:
        raise ValueError(f"promise is a magnitude, above 0 and finite, not {promise}")
    varied = space(given, domains or {})
    if not any(map(is_floating, tree.leaves(as_tensors(fn(*given.tuple))))):
        raise ValueError("its result has no floating-point numbers, so that all of it is finite")
    key = given.key(label, "points")

    def verdict(status: Status, detail: str, envelope: float | None = None, at: str | None = None) -> Verdict:
        gap = torch.nan if envelope is None else max(0.0, promise - envelope)
        seconds = time.perf_counter() - start
        return Verdict(
            "finite", label, "deterministic", status, detail, gap, None, at, statistic=envelope, seconds=seconds
        )

    ladder = magnitudes(promise, varied)
    within = ladder.index(promise)
    try:
        for index, magnitude in enumerate(ladder[: within + 1]):
            fault = _fault(fn, given, varied, points(varied, magnitude, random.fold_in(key, index)))
            if fault is not None:
                at, said = fault
                envelope = ladder[index - 1] if index else 0.0
                return verdict(
                    "rejected", f"finite up to {envelope:g} only: {at} is not finite at {said}", envelope, at
                )
        low, high = within, len(ladder)
        while high - low > 1:
            middle = (low + high) // 2
            held = _fault(fn, given, varied, points(varied, ladder[middle], random.fold_in(key, middle))) is None
            low, high = (middle, high) if held else (low, middle)
    except RuntimeError as error:
        if lacks_memory(error):
            raise
        return verdict("inconclusive", f"it cannot be vmapped over its arguments, as parity tells: {raised(error)}")
    return verdict("passed", f"value and gradient are finite up to {ladder[low]:g}", ladder[low])


def _fault(
    fn: Callable[..., Tree], given: Arguments, varied: Space, values: dict[str, Tensor]
) -> tuple[str, str] | None:
    """What is not finite at any of the points, and the first point where it is not; None if all is."""

    def total(scaled: dict[str, Tensor], bounded: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        result = tree.flat_names(as_tensors(fn(*given.at({**scaled, **bounded}).tuple)))
        floating = {path or "value": leaf for path, leaf in result.items() if is_floating(leaf)}
        return sum((leaf.sum() for leaf in floating.values()), start=torch.zeros(())), floating

    def are_finite(scaled: dict[str, Tensor], bounded: dict[str, Tensor]) -> dict[str, Tensor]:
        grads, result = torch.func.grad(total, has_aux=True)(scaled, bounded)
        named = result | {f"the gradient in {path}": leaf for path, leaf in grads.items()}
        return {path: leaf.isfinite().all() for path, leaf in named.items()}

    size = sum(leaf[0].numel() for leaf in values.values())
    parts = [{path: values[path] for path in group} for group in (varied.scaled, varied.bounded)]
    found = torch.vmap(are_finite, chunk_size=max(1, CHUNK // size))(*parts)
    for path, holds in found.items():
        if not bool(holds.all()):
            first = int((~holds).int().argmax())
            return path, ", ".join(f"{name} = {_said(leaf[first])}" for name, leaf in values.items())
    return None


def _said(leaf: Tensor) -> str:
    """A value, or the range of several."""
    low, high = float(leaf.min()), float(leaf.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
