"""Paths of parameters under an optimizer, of this package's kind or of `torch.optim`'s, on given gradients."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import random, tree
from vae_fn.random import Noise
from vae_fn.training import Optimizer
from vae_fn.types import Key, Tree
from vae_fn.verify.coordinates import vector
from vae_fn.verify.properties.results import Comparison

SIZES = (1e-6, 1.0, 0.0, 1e3, 0.1)
"""The sizes that gradients take in turn, from leaf to leaf and from step to step: far apart, and small at first."""

RELATIVE = 1e-10
"""The difference of two movements that is forgiven, relative to them."""


class Stepping(Protocol):
    """What a reference does, as a `torch.optim.Optimizer`: it moves its parameters in place, by their `.grad`."""

    def step(self) -> object:
        """Make one update."""
        ...


Factory = Callable[[list[Tensor]], Stepping]
"""A reference for given parameters, as in `lambda params: torch.optim.Adam(params, lr=1e-3)`."""


def parameters(key: Key) -> Tree:
    """Float64 parameters of size 1 in several shapes, among them one without dimensions and one without elements."""
    shapes = {"encoder": {"weight": (3, 2), "bias": (3,)}, "decoder": {"scale": (), "weight": (1, 4), "none": (0,)}}
    specs = {part: {name: Noise(random.normal, shape) for name, shape in own.items()} for part, own in shapes.items()}
    return random.draw(key, specs, torch.float64)


def gradient_sequence(params: Tree, key: Key, steps: int) -> list[Tree]:
    """Random gradients, step by step, of all `SIZES`."""
    leaves, structure = pytree.tree_flatten(params)
    sequence = []
    for step in range(steps):
        own = random.split(random.fold_in(key, step), len(leaves))
        sizes = [SIZES[(step + index) % len(SIZES)] for index in range(len(leaves))]
        drawn = [random.normal(k, tuple(leaf.shape), leaf.dtype) for k, leaf in zip(own, leaves, strict=True)]
        grads = [size * grad for size, grad in zip(sizes, drawn, strict=True)]
        sequence.append(pytree.tree_unflatten(grads, structure))
    return sequence


def path(optimizer: Optimizer, params: Tree, grads: Sequence[Tree]) -> list[Tree]:
    """The parameters after every update, as they were then, also where an update writes in place."""
    params, found = tree.clone(params), []
    state = optimizer.init(params)
    for grad in grads:
        params, state = optimizer.update(tree.clone(grad), state, params)
        found.append(tree.clone(params))
    return found


def reference_path(factory: Factory, params: Tree, grads: Sequence[Tree]) -> list[Tree]:
    """The same for a reference."""
    leaves, structure = pytree.tree_flatten(tree.clone(params))
    for leaf in leaves:
        leaf.requires_grad_()
    optimizer, found = factory(leaves), []
    for grad in grads:
        for leaf, own in zip(leaves, pytree.tree_leaves(grad), strict=True):
            leaf.grad = own.clone()
        optimizer.step()
        found.append(pytree.tree_unflatten([leaf.detach().clone() for leaf in leaves], structure))
    return found


def movements(found: Sequence[Tree], expected: Sequence[Tree], start: Tree) -> list[Comparison]:
    """How far both have moved from the start, step for step; positions would hide it in the parameters' own size."""
    comparisons = []
    for step, (one, other) in enumerate(zip(found, expected, strict=True), start=1):
        moved, wanted = (tree.map(lambda leaf, begin: leaf - begin, each, start) for each in (one, other))
        comparisons.append(
            Comparison(f"moved after {step} updates", moved, wanted, _allowed(wanted, other, start, step))
        )
    return comparisons


def _allowed(movement: Tree, position: Tree, start: Tree, step: int) -> Float64[Tensor, " d"]:
    """A relative error of the movement, and a rounding of the position at every step."""
    size = torch.maximum(vector(position).abs(), vector(start).abs())
    return RELATIVE * vector(movement).abs() + step * torch.finfo(torch.float64).eps * size.clamp(min=1e-300)
