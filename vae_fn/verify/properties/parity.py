"""One function computed in four ways: eagerly, compiled, vmapped, and in float64, by which the others are judged."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.compiling import compile_pure
from vae_fn.errors import lacks_memory
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors, coordinates_of, vector
from vae_fn.verify.places import raised
from vae_fn.verify.properties.arguments import Arguments, Dims, arguments, dims_of, is_floating
from vae_fn.verify.properties.conditioning import Reference, reference
from vae_fn.verify.properties.results import Gap, differing_shapes, not_a_number, widest
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Status, Verdict

COPIES = 3
"""Copies of the arguments, which are computed one by one, and vmapped over as a batch."""

SHRINKAGE = 0.1
"""By how much at most the numbers of a copy are shrunk: they keep their signs, and stay in [0, 1]."""


def parity(
    fn: Callable[..., Tree],
    *args: Tree,
    in_dims: Dims = 0,
    excess_bits: float = 8.0,
    backend: str | Callable = "inductor",
    name: str | None = None,
) -> Verdict:
    """Check that a function is the same eager, compiled and vmapped in float32, each held against float64.

    Args:
        fn: a pure function of one example, to a tensor or a pytree; noise is one of its arguments.
        args: pytrees whose floating-point tensors are taken in float32; other leaves stay as they are.
        in_dims: where the copies of each argument are stacked for `torch.vmap`, one for all arguments or one for each;
            None for an argument that has no copies, and None alone leaves vmap out. The copies are the arguments
            themselves, and others with every floating-point number shrunk by up to a tenth.
        excess_bits: how many bits more may be wrong than roundings of the arguments and of the result explain; a third
            of float32's 24. Gradients of a deep network take up to 6, and weights exp(w) of log-weights w near -500
            up to 11, since w itself is rounded to 2**-15: allow that where it is meant.
        backend: of the compiled version, as in `torch.compile`.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` where a float32 result is too far off or has other shapes, and where the function does not compile
        whole or cannot be vmapped, with the reason; `inconclusive` where it has no float64 version, where that is not a
        number, and at a jump, where roundings explain everything. `gap` and `resolvable` are error and allowed error at
        `coordinate`, in the unit of the result.

    Raises:
        ValueError: `in_dims` does not fit the arguments, or the result has no numbers.
    """
    start, label = time.perf_counter(), name_of(fn, name)

    def verdict(status: Status, detail: str, worst: Gap | None = None) -> Verdict:
        gap, resolvable, at = (worst.distance, worst.allowed, worst.coordinate) if worst else (math.nan, None, None)
        seconds = time.perf_counter() - start
        return Verdict("parity", label, "deterministic", status, detail, gap, resolvable, at, seconds=seconds)

    dims = dims_of(in_dims, args)
    copies = _copies(arguments(fn, args).to(torch.float32), dims, label)
    eager = [as_tensors(fn(*copy.tuple)) for copy in copies]
    try:
        references = [reference(fn, copy, label) for copy in copies]
    except RuntimeError as error:
        if lacks_memory(error):
            raise
        return verdict("inconclusive", f"it does not run in float64, make every array an argument: {raised(error)}")
    if any(is_floating(leaf) and leaf.dtype != torch.float64 for leaf in tree.leaves(references[0].value)):
        return verdict("inconclusive", "its result is not float64 where all arguments are: fix no dtype inside")

    found: dict[str, Gap] = {}
    for way, run in _ways(fn, copies, dims, backend).items():
        try:
            results = eager if run is None else run()
        except Exception as error:  # the compiler's, vmap's, or the function's under them
            if lacks_memory(error):
                raise
            return verdict("rejected", f"it cannot be {way}: {raised(error)}")
        if said := differing_shapes(results[0], eager[0]):
            return verdict("rejected", f"{way}: {said}")
        found[way] = max(_gap(*pair, excess_bits) for pair in zip(results, references, strict=True))

    way, worst = max(found.items(), key=lambda item: item[1].ratio)
    bits = ", ".join(f"{each} {_excess(gap, excess_bits):.1f}" for each, gap in found.items())
    if worst.ratio > 1:
        return verdict("rejected", f"{way}: {worst.said}; excess wrong bits: {bits}, allowed {excess_bits:g}", worst)
    if said := not_a_number(references[0].value) or _jump(references[0], excess_bits):
        return verdict("inconclusive", said)
    return verdict("passed", f"excess wrong bits: {bits}", worst)


def _ways(
    fn: Callable[..., Tree], copies: list[Arguments], dims: list[int | None], backend: str | Callable
) -> dict[str, Callable[[], list[Tree]] | None]:
    """The ways to compute the results of all copies; None for the eager loop."""
    compiled = compile_pure(fn, backend=backend)
    ways = {"eager": None, "compiled": lambda: [as_tensors(compiled(*copy.tuple)) for copy in copies]}
    return ways | ({"vmapped": lambda: _vmapped(fn, copies, dims)} if len(copies) > 1 else {})


def _copies(given: Arguments, dims: list[int | None], label: str) -> list[Arguments]:
    """The arguments, and where a dimension is given for some of them, others with shrunk numbers in those."""
    batched = [name for name, dim in zip(given.parts, dims, strict=True) if dim is not None]
    if not batched:
        return [given]
    free, key = Arguments({name: given.parts[name] for name in batched}).varied, given.key(label, "copies")
    copies = [given]
    for copy in range(1, COPIES):
        keys = random.split(random.fold_in(key, copy), max(1, len(free)))
        factors = {
            name: 1 - SHRINKAGE * random.uniform(own, tuple(leaf.shape)).to(leaf.device)
            for own, (name, leaf) in zip(keys, free.items(), strict=False)
        }
        copies.append(given.at({name: leaf * factors[name] for name, leaf in free.items()}))
    return copies


def _vmapped(fn: Callable[..., Tree], copies: list[Arguments], dims: list[int | None]) -> list[Tree]:
    """The result of each copy, out of one vmapped call; by name, since vmap takes no absent parts in a result."""
    parts = list(zip(*(copy.tuple for copy in copies), strict=True))
    axes = tuple(_axes(part[0], dim) for part, dim in zip(parts, dims, strict=True))
    stacked = [part[0] if dim is None else _stack(part, dim) for part, dim in zip(parts, dims, strict=True)]
    together = torch.vmap(lambda *args: tree.flat_names(as_tensors(fn(*args))), in_dims=axes)(*stacked)
    return [tree.map(lambda leaf, i=i: leaf[i], together) for i in range(len(copies))]


def _axes(part: Tree, dim: int | None) -> Tree:
    return tree.map(lambda leaf: dim if isinstance(leaf, Tensor) else None, part)


def _stack(trees: tuple[Tree, ...], dim: int) -> Tree:
    return tree.map(lambda leaf, *rest: torch.stack([leaf, *rest], dim) if isinstance(leaf, Tensor) else leaf, *trees)


def _jump(known: Reference, excess_bits: float) -> str | None:
    """Where one rounding of the arguments moves the result so far that nothing could be rejected, in words."""
    value = vector(known.value)
    allowed = known.attainable * 2.0**excess_bits
    wide = allowed > 1 + value.abs()
    if not bool(wide.any()):
        return None
    at = coordinates_of(known.value).name(int((allowed * wide).argmax()))
    return f"one rounding of the arguments moves {at} as far as a jump does: give arguments off it"


def _gap(result: Tree, known: Reference, excess_bits: float) -> Gap:
    return widest(result, known.value, known.attainable * 2.0**excess_bits)


def _excess(gap: Gap, excess_bits: float) -> float:
    """The wrong bits beyond those that roundings explain."""
    return max(0.0, math.log2(gap.ratio) + excess_bits) if gap.ratio > 0 else 0.0
