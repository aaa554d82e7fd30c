"""One compilation for all values: in steady state nothing is compiled again."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vae_fn.compiling import compile_pure
from vae_fn.errors import brief, lacks_memory
from vae_fn.types import Tree
from vae_fn.verify.properties.arguments import Arguments, arguments
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Status, Verdict
from vae_fn.words import counted


def no_recompile(fn: Callable[..., Tree], calls: Sequence[tuple[Tree, ...]], *, name: str | None = None) -> Verdict:
    """Check that calls with the same shapes and other values compile a function once, as one graph.

    Args:
        fn: a function of tensors and whatever else; its graphs are counted and run as they are.
        calls: the arguments of two calls or more, in the order of the calls.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` where a call compiles again, naming the arguments that alone make it do so, and where the function
        does not compile whole. The calls end with the first that compiles again.

    Raises:
        ValueError: there are fewer than two calls, or their leaves differ in path, shape or dtype.
    """
    start, label = time.perf_counter(), name_of(fn, name)
    given = [arguments(fn, args) for args in calls]
    _check_comparable(given)

    def verdict(status: Status, detail: str, gap: float = torch.nan, at: str | None = None) -> Verdict:
        seconds = time.perf_counter() - start
        return Verdict("no_recompile", label, "deterministic", status, detail, gap, None, at, seconds=seconds)

    try:
        again = _compiled_again(fn, given)
        guilty = [] if again is None else _guilty(fn, given[0], given[again])
    except Exception as error:  # the compiler's, or the function's under it
        if lacks_memory(error):
            raise
        return verdict("rejected", f"it cannot be compiled whole: {brief(error)}")
    if again is None:
        return verdict("passed", f"one graph for {counted(len(given), 'call')}", 0.0)
    blamed = " and ".join(_said(name, given[0].leaves[name], given[again].leaves[name]) for name in guilty)
    blamed = blamed or "no leaf alone makes it: what it reads beside its arguments has changed, or was one object twice"
    return verdict("rejected", f"call {again + 1} compiles again: {blamed}", 1.0, next(iter(guilty), None))


def _compiled_again(fn: Callable[..., Tree], given: Sequence[Arguments]) -> int | None:
    """The first call that makes a second graph, with which the calls end."""
    graphs: list[Any] = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        graphs.append(graph)
        return graph.forward

    compiled = compile_pure(fn, backend=counting)
    for call, each in enumerate(given):
        compiled(*each.tuple)
        if len(graphs) > 1:
            return call
    return None


def _guilty(fn: Callable[..., Tree], first: Arguments, again: Arguments) -> list[str]:
    """The leaves each of which, changed alone, makes a second graph."""
    changed = {name: leaf for name, leaf in again.leaves.items() if leaf is not first.leaves[name]}
    return [name for name, leaf in changed.items() if _compiled_again(fn, [first.at({}), first.at({name: leaf})])]


def _said(name: str, before: Any, after: Any) -> str:
    if isinstance(before, Tensor):
        return f"{name} is another kind of tensor (strides, requires_grad, device, one given twice in a call)"
    return f"{name} changed from {before!r} to {after!r}, and a Python value is part of a graph: give a 0-d tensor"


def _check_comparable(given: Sequence[Arguments]) -> None:
    if len(given) < 2:
        raise ValueError("give the arguments of two calls or more")
    for call, other in enumerate(given[1:], start=2):
        for name in {**given[0].leaves, **other.leaves}:
            one, two = (_shape(each.leaves.get(name)) for each in (given[0], other))
            if one != two:
                raise ValueError(
                    f"calls 1 and {call} differ at {name}, {one} and {two}: another shape is always another graph, "
                    "give calls whose values alone differ"
                )


def _shape(leaf: Any) -> str:
    return f"{tuple(leaf.shape)} {leaf.dtype}" if isinstance(leaf, Tensor) else type(leaf).__name__
