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
"""The most nodes at a time."""

ENTRIES = 2**24
"""The most numbers of values at a time."""

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
    coarse, found = _integrate(fn, product(specs, order, breaks)), _integrate(fn, fine)
    return Moments(*found, changes(coarse, found), len(fine.weights))


def order_of(noise: Tree) -> int:
    """The order that is taken for a tree of `Noise` unless another is asked for: 96, or 30 from three dimensions on."""
    return 96 if dimensions(noise) < 3 else 30


def _integrate(fn: Callable[[Tree], Tree], rule: Nodes) -> tuple[Tree, Tree]:
    """Mean and variance in float64, some nodes at a time: moments about the value at the heaviest node."""
    heaviest = rule.weights.argmax()
    centre = tree.map(_real, fn(tree.map(lambda leaf: leaf[heaviest], rule.noise)))
    size, count = max(1, min(CHUNK, ENTRIES // max(1, tree.size(centre)))), len(rule.weights)
    first = second = tree.map(lambda leaf: torch.zeros_like(leaf, dtype=torch.float64), centre)
    for start in range(0, count, size):
        some = Nodes(*tree.map(lambda leaf: leaf[start : start + size], tuple(rule)))  # noqa: B023
        first, second = tree.add((first, second), _about(centre, fn, some))
    mean = tree.map(lambda about, moved: (about.double() + moved).to(_kept(about)), centre, first)
    variance = tree.map(lambda square, moved: (square - moved**2).clamp(min=0), second, first)
    return mean, variance


def _about(centre: Tree, fn: Callable[[Tree], Tree], rule: Nodes) -> tuple[Tree, Tree]:
    """The weighted sums of what the values are off the centre by, and of its squares."""
    values = tree.map(_real, torch.vmap(fn)(rule.noise))
    gaps = tree.map(lambda leaf, about: leaf.double() - about.double(), values, centre)
    first = tree.map(lambda gap: torch.tensordot(rule.weights, gap, 1), gaps)
    return first, tree.map(lambda gap: torch.tensordot(rule.weights, gap**2, 1), gaps)


def _kept(leaf: Tensor) -> torch.dtype:
    """The dtype of a mean: that of the values, if they are real numbers."""
    return leaf.dtype if leaf.is_floating_point() else torch.float64


def _real(values: Tensor) -> Tensor:
    """The values without their history; complex ones are two numbers each, in a last axis."""
    return torch.view_as_real(values.detach()) if values.is_complex() else values.detach()


def changes(coarse: tuple[Tree, Tree], found: tuple[Tree, Tree]) -> tuple[float, float]:
    """The largest change of the mean, and of the variance, relative to 1 + |value|."""
    mean, variance = (float(relative(_vector(a), _vector(b)).max()) for a, b in zip(coarse, found, strict=True))
    return mean, variance


def relative(exact: Float64[Tensor, " d"], seen: Float64[Tensor, " d"]) -> Float64[Tensor, " d"]:
    """The gap relative to 1 + |exact|."""
    return (seen - exact).abs() / (1 + exact.abs())


def _vector(values: Tree) -> Float64[Tensor, " d"]:
    return torch.cat([leaf.double().flatten() for leaf in tree.leaves(values)] or [torch.zeros(0, dtype=torch.float64)])
