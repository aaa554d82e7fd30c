"""The result of a batch is made of the results of its parts."""

import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.errors import lacks_memory
from vae_fn.types import Tree
from vae_fn.verify.places import raised
from vae_fn.verify.properties.arguments import Dims, arguments, is_floating
from vae_fn.verify.properties.examples import ALIKE, examples, parts_of, whole, without_batch
from vae_fn.verify.properties.results import Comparison, judged, refused, rounding, undecided
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Verdict

Reduction = Literal["sum", "mean", "none"]
"""What a function makes of its examples, in the words of `torch.nn`'s losses; `none` is a result for each."""


def additive(
    fn: Callable[..., Tree],
    *args: Tree,
    batched: Dims = 0,
    reduction: Reduction = "mean",
    out_dims: Dims = 0,
    name: str | None = None,
) -> Verdict:
    """Check that examples do not act on each other: a batch gives what its parts give, put together.

    The parts are all single examples, in batches of one, and two halves. Their results are summed, averaged with the
    weight of their sizes, or laid end to end.

    Args:
        fn: a pure function of a batch of any size, to a tensor or a pytree.
        args: pytrees with two examples or more (three for unequal halves); floating-point tensors are taken in float64.
        batched: the dimension of the batch, one for all arguments or one for each; None where there is none.
        reduction: what the function makes of its examples.
        out_dims: for `none`, the dimension of the batch in the result: one, or one for each part of a tuple.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` where the two differ: a sum for a mean, a normalisation over the batch, a first example that is
        special. `inconclusive` where all examples are the same, or the result is not a number.

    Raises:
        ValueError: batches differ in size, or have fewer than two examples; dimensions do not fit.
    """
    start, label = time.perf_counter(), name_of(fn, name)
    batch = examples(arguments(fn, args), batched)
    if batch.alike:
        return undecided("additive", label, start, ALIKE)
    result = parts_of(fn(*batch.given.tuple), out_dims)
    if reduction == "none" and (said := without_batch(result, batch.size)):
        return refused("additive", label, start, said)
    found, dims = whole([part for part, _ in result]), [dim for _, dim in result]
    everyone, half = list(range(batch.size)), batch.size // 2
    comparisons = []
    for what, split in {"singles": [[i] for i in everyone], "halves": [everyone[:half], everyone[half:]]}.items():
        try:
            results = [[part for part, _ in parts_of(fn(*batch.take(index)), out_dims)] for index in split]
        except (RuntimeError, ValueError) as error:
            if lacks_memory(error):
                raise
            return refused("additive", label, start, f"it does not take {what}: {raised(error)}")
        shares = [len(index) / batch.size if reduction == "mean" else 1.0 for index in split]
        expected, size = (_together(each, shares, reduction, dims) for each in (results, _sizes(results)))
        comparisons.append(Comparison(f"of {what}", found, expected, rounding(size)))
    return judged("additive", label, start, comparisons)


def _together(
    results: Sequence[Sequence[Tree]], shares: Sequence[float], reduction: Reduction, dims: Sequence[int | None]
) -> Tree:
    """What the results of the parts of a batch make."""

    def put(dim: int | None, *leaves: Tensor) -> Tensor:
        if reduction == "none":
            return torch.cat(leaves, dim or 0)
        return torch.stack([share * leaf for share, leaf in zip(shares, leaves, strict=True)]).sum(0)

    parts = zip(dims, zip(*results, strict=True), strict=True)
    return whole([tree.map(lambda *leaves, dim=dim: put(dim, *leaves), *pieces) for dim, pieces in parts])


def _sizes(results: Sequence[Sequence[Tree]]) -> list[Tree]:
    return [tree.map(lambda leaf: leaf.abs() if is_floating(leaf) else leaf, result) for result in results]
