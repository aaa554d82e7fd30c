"""Examples in another order give the results in that order."""

import time
from collections.abc import Callable

from vae_fn import random
from vae_fn.types import Tree
from vae_fn.verify.properties.arguments import Dims, arguments
from vae_fn.verify.properties.examples import ALIKE, examples, parts_of, taken, whole, without_batch
from vae_fn.verify.properties.results import Comparison, judged, refused, rounding, undecided
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Verdict


def permutation(
    fn: Callable[..., Tree], *args: Tree, batched: Dims = 0, out_dims: Dims = 0, name: str | None = None
) -> Verdict:
    """Check that a permutation of the batch permutes the result, and does nothing else to it.

    Two orders are tried: every example one place on, and a random one, hashed from name and arguments.

    Args:
        fn: a pure function of a batch, to a tensor or a pytree.
        args: pytrees with two examples or more; floating-point tensors are taken in float64.
        batched: the dimension of the batch, one for all arguments or one for each; None where there is none.
        out_dims: the same for the result, one or one for each part of a tuple; None for what is of the whole batch.
        name: of what is checked; by default where `fn` is defined.

    Returns:
        `rejected` where an example counts by its place. Where examples act on each other, but all alike, as in a batch
        normalisation, this passes: `additive` sees that. `inconclusive` where all examples are the same, or the result
        is not a number.

    Raises:
        ValueError: batches differ in size, or have fewer than two examples; dimensions do not fit.
    """
    start, label, given = time.perf_counter(), name_of(fn, name), arguments(fn, args)
    batch = examples(given, batched)
    if batch.alike:
        return undecided("permutation", label, start, ALIKE)
    result = parts_of(fn(*batch.given.tuple), out_dims)
    if said := without_batch(result, batch.size):
        return refused("permutation", label, start, said)
    shifted = [*range(1, batch.size), 0]
    shuffled = random.permutation(given.key(label, "order"), batch.size).tolist()
    comparisons = []
    for order in (shifted, shuffled):
        expected = whole([taken(part, dim, order) for part, dim in result])
        found = whole([part for part, _ in parts_of(fn(*batch.take(order)), out_dims)])
        comparisons.append(Comparison(f"in the order {order[:8]}", found, expected, rounding(expected)))
    return judged("permutation", label, start, comparisons)
