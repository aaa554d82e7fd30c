"""Per-example gradients, and what is reduced of them.

`per_example(gradient, reduce)` is a pure function: `vmap` of one example's gradient, then the reduction. As it stands
it forms every gradient. Passed through `compiling.compile_factorised` it forms none of a linear layer's weights where
factors are smaller: norms, inner products, second moments and weighted sums come from the layer's inputs and the
gradients of its outputs. Formed as before are second moments and variances of seven or more rows an example, layers
whose rows hold more than half as many numbers as their weights, convolutions, float64, and a batch of 1.

    lengths = per_example(differentiated(loss), norm)                # Goodfellow 2015, arXiv:1510.01799
    private = per_example(differentiated(loss), clipped_mean(1.0))   # Abadi et al. 2016, arXiv:1607.00133
    run = compiling.compile_factorised(private)

A reduction is any function of a tree of gradients with the examples in front; those here are ready made.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, func

from vae_fn import tree
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params, Tree

Gradient = Callable[..., tuple[Float[Tensor, ""], Params]]
"""`gradient(params, *example)`: the value and the gradient of one example."""

Reduction = Callable[[Params], Any]
"""Of gradients `(b, *shape)`, leaf by leaf."""


def per_example(
    gradient: Gradient, reduce: Reduction, in_dims: int | Sequence[Tree] = 0
) -> Callable[..., tuple[Float[Tensor, " b"], Any]]:
    """The function `(params, *examples) -> (values, reduced)` of the gradients of every example.

    Args:
        gradient: of one example, such as `differentiated(loss)` or `estimated(estimator, pose)`.
        reduce: of the gradients; `lambda grads: grads` stores them all.
        in_dims: where the examples lie in each argument after the parameters, as in `vmap`.
    """

    def reduced(params: Params, *examples: Any) -> tuple[Float[Tensor, " b"], Any]:
        dims = (in_dims,) * len(examples) if isinstance(in_dims, int) else tuple(in_dims)
        values, grads = torch.vmap(gradient, (None, *dims))(params, *examples)
        return values, reduce(grads)

    return reduced


def differentiated(loss: Callable[..., Float[Tensor, ""]]) -> Gradient:
    """The gradient of `loss(params, *example)`, a number."""

    def gradient(params: Params, *example: Any) -> tuple[Float[Tensor, ""], Params]:
        grads, found = func.grad_and_value(loss)(params, *example)
        return found, grads

    return gradient


def estimated(estimator: Estimator, pose: Callable[[Any], Problem], state: Tree = ()) -> Gradient:
    """An estimator's gradient of the problem of one datum, `gradient(params, x, noise)`, with its state held.

    Noise of a batch, `(k, b, *event)`, has its examples in dimension 1: `in_dims=(0, 1)`.
    """

    def gradient(params: Params, x: Any, noise: Tree) -> tuple[Float[Tensor, ""], Params]:
        found = estimator.estimate(pose(x), params, noise, state)
        return found.value, found.grads

    return gradient


def norm(grads: Params) -> Float[Tensor, " b"]:
    """The length of every example's whole gradient."""
    return torch.stack([_square(leaf) for leaf in tree.leaves(grads)]).sum(0).sqrt()


def norms(grads: Params) -> Params:
    """The length of every example's gradient, leaf by leaf: leaves `(b,)`."""
    return tree.map(lambda leaf: _square(leaf).sqrt(), grads)


def mean(grads: Params) -> Params:
    """The gradient of the mean."""
    return tree.map(lambda leaf: leaf.mean(0), grads)


def clipped_mean(max_norm: float | Float[Tensor, ""]) -> Reduction:
    """The mean of gradients that are each shortened to a length of at most `max_norm`: `g / max(1, |g| / max_norm)`.

    Raises:
        ValueError: `max_norm` is a number that is not positive.
    """
    if not isinstance(max_norm, Tensor) and not max_norm > 0:
        raise ValueError(f"gradients are clipped at a positive length, not {max_norm}")

    def reduce(grads: Params) -> Params:
        excess = (norm(grads) / max_norm).clamp(min=1)
        return tree.map(lambda leaf: (leaf / _over(excess, leaf)).mean(0), grads)

    return reduce


def second_moment(grads: Params) -> Params:
    """The mean square of the gradients, by coordinate."""
    return tree.map(lambda leaf: (leaf**2).mean(0), grads)


def variance(grads: Params) -> Params:
    """The variance of the gradients about their mean, by coordinate: squares over b - 1.

    Raises:
        ValueError: there is one example.
    """
    count = len(tree.leaves(grads)[0])
    if count < 2:
        raise ValueError("one example has no variance: give two or more")
    return tree.map(lambda leaf: ((leaf - leaf.mean(0)) ** 2).sum(0) / (count - 1), grads)


def dot(direction: Params) -> Reduction:
    """Every example's derivative in a direction, `(b,)`."""
    return lambda grads: torch.stack(tree.leaves(tree.map(_against, grads, direction))).sum(0)


def cosine(direction: Params) -> Reduction:
    """The cosine of every example's gradient to a direction, `(b,)`; NaN where one of the two is zero."""
    return lambda grads: dot(direction)(grads) / (norm(grads) * tree.global_norm(direction))


def _square(leaf: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    return (leaf.reshape(len(leaf), -1) ** 2).sum(1)


def _against(leaf: Float[Tensor, "b ..."], direction: Float[Tensor, "..."]) -> Float[Tensor, " b"]:
    return (leaf.reshape(len(leaf), -1) * direction.reshape(-1)).sum(1)


def _over(weights: Float[Tensor, " b"], leaf: Float[Tensor, "b ..."]) -> Tensor:
    return weights.reshape(-1, *(1,) * (leaf.ndim - 1))
