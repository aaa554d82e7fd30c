"""Mean and variance of a function of noise, by integration."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.gradients.oracles.nodes import Nodes, dimensions, product, specification
from vae_fn.types import Tree

FURTHER = 9
"""How much higher the second order is."""

CHUNK = 4096
"""Nodes at a time."""

WHOLE = 1e-8
"""How far from 1 the weights of nodes may sum."""


class Moments(NamedTuple):
    """The law of `fn(noise)`, coordinate by coordinate: trees like one value of it.

    Attributes:
        mean: the expectation.
        variance: of one draw.
        errors: the largest change of the mean, and that of the variance, from a lower order, relative to 1 + |value|; 0
            where the nodes are given, as all states of a discrete distribution are.
        nodes: how many there were.
    """

    mean: Tree
    variance: Tree
    errors: tuple[float, float]
    nodes: int


def moments(
    fn: Callable[[Tree], Tree], noise: int | Tree | Nodes, *, order: int | None = None, breaks: Tree | None = None
) -> Moments:
    """Mean and variance of `fn(noise)` over its noise, by integration in float64.

    Args:
        fn: a pure function of one draw of noise, to a tensor or a pytree; it is vmapped over the nodes.
        noise: what it takes: a tree of `random.Noise`, a number d for d standard normals, or `Nodes` (for discrete
            latents `nodes.enumerate_states`).
        order: of the rule of each coordinate; by default `order_of(noise)`. The integral is repeated with 9 more.
        breaks: where the integrand jumps in uniform noise, as in `nodes.product`.

    Raises:
        ValueError: the integral is too large, a law has no rule, or the weights of `Nodes` do not sum to 1.
    """
    if isinstance(noise, Nodes):
        if not abs(float(noise.weights.sum()) - 1) <= WHOLE:
            raise ValueError(f"the weights of nodes sum to 1, and these to {float(noise.weights.sum()):.9g}")
        mean, variance = _integrate(fn, noise)
        return Moments(mean, variance, (0.0, 0.0), len(noise.weights))
    specs = specification(noise)
    order = order or order_of(specs)
    fine = product(specs, order + FURTHER, breaks)
    coarse, (mean, variance) = _integrate(fn, product(specs, order, breaks)), _integrate(fn, fine)
    of_mean, of_variance = (
        float(relative(_vector(a), _vector(b)).max()) for a, b in zip(coarse, (mean, variance), strict=True)
    )
    return Moments(mean, variance, (of_mean, of_variance), len(fine.weights))


def order_of(noise: Tree) -> int:
    """The order that is taken for a tree of `Noise` unless another is asked for: 96, or 30 from three dimensions on."""
    return 96 if dimensions(noise) < 3 else 30


def _integrate(fn: Callable[[Tree], Tree], rule: Nodes) -> tuple[Tree, Tree]:
    """Mean and variance, in float64, chunk after chunk; the variance is taken about the mean of the first pass."""
    values = tree.map(_real, torch.vmap(fn, chunk_size=CHUNK)(rule.noise))
    mean = tree.map(lambda leaf: _weighted(rule.weights, leaf.double()), values)
    variance = tree.map(lambda leaf, centre: _weighted(rule.weights, (leaf.double() - centre) ** 2), values, mean)
    keep = tree.map(lambda leaf, like: leaf.to(like.dtype if like.is_floating_point() else leaf.dtype), mean, values)
    return keep, variance


def _weighted(weights: Float64[Tensor, " n"], values: Float64[Tensor, " n *s"]) -> Float64[Tensor, "*s"]:
    return torch.tensordot(weights, values, dims=1)


def _real(values: Tensor) -> Tensor:
    """The values without their history; complex ones are two numbers each, in a last axis."""
    return torch.view_as_real(values.detach()) if values.is_complex() else values.detach()


def relative(exact: Float64[Tensor, " d"], seen: Float64[Tensor, " d"]) -> Float64[Tensor, " d"]:
    """The gap relative to 1 + |exact|."""
    return (seen - exact).abs() / (1 + exact.abs())


def _vector(values: Tree) -> Float64[Tensor, " d"]:
    return torch.cat([leaf.double().flatten() for leaf in tree.leaves(values)] or [torch.zeros(0, dtype=torch.float64)])
