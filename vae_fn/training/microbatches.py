"""Sums over a batch whose examples pass through the networks a few at a time: less memory, equal to rounding.

The slices follow one another inside the graph, by torch's loop operator: one of them is compiled, however many there
are. A smaller last one stands behind the loop, and is compiled too.
"""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop_op

from vae_fn import tree
from vae_fn.types import Tree

Sliceable = tuple[Tree, Tree]
"""Two trees: of tensors with the examples in front, and of tensors with the samples in front and the examples next."""


def sum_over_slices(fn: Callable[[Sliceable], Tree], inputs: Sliceable, size: int, zeros: Tree) -> Tree:
    """The sum of `fn` over slices of the examples.

    Args:
        fn: from a slice of the inputs to sums over its examples.
        inputs: what is sliced, b examples.
        size: examples in a slice; the last one may have fewer.
        zeros: a tree of zeros like what `fn` gives.
    """
    examples = len(tree.leaves(inputs[0])[0])
    if examples <= size:
        return fn(inputs)
    whole, rest = divmod(examples, size)
    total = _looped(lambda i: fn(_taken(inputs, i * size, size)), whole, zeros)
    return tree.add(total, fn(_taken(inputs, torch.tensor(whole * size), rest))) if rest else total


def check_sliceable(name: str, specs: Tree, examples: int) -> None:
    """Check that an estimator's noise can be sliced.

    Raises:
        ValueError: a specification has not the samples in front and the examples next.
    """
    for spec in tree.leaves(specs):
        if spec.shape[1:2] != (examples,):
            raise ValueError(
                f"{name} draws noise of shape {spec.shape} for {examples} examples, and to be sliced its noise must be "
                f"(samples, {examples}, ...): leave microbatch out"
            )


def _looped(term: Callable[[Int[Tensor, ""]], Tree], count: int, zeros: Tree) -> Tree:
    """The sum of `term(i)` over i < count.

    The operator itself, since `while_loop` compiles what is called outside of a graph.
    """

    def goes_on(i: Int[Tensor, ""], *total: Tensor) -> Tensor:
        return i < count

    def advance(i: Int[Tensor, ""], *total: Tensor) -> tuple[Tensor, ...]:
        return (i + 1, *map(torch.add, total, tree.leaves(term(i))))

    _, *total = while_loop_op(goes_on, advance, (torch.tensor(0), *tree.leaves(zeros)), ())
    return tree.with_leaves(zeros, total)


def _taken(inputs: Sliceable, first: Int[Tensor, ""], count: int) -> Sliceable:
    """So many examples, from one on."""

    def along(axis: int) -> Callable[[Tensor], Tensor]:
        return lambda leaf: leaf.index_select(axis, first + torch.arange(count, device=leaf.device))

    rows, columns = inputs
    return tree.map(along(0), rows), tree.map(along(1), columns)
