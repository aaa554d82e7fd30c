"""Latents in one layer or in several, seen alike."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import BottomUp, Distribution, TopDown
from vae_fn.distributions.layered import Values
from vae_fn.types import Tree


def as_layers(q: Any) -> Any:
    """Q as layers: itself if it has any, else the one layer that it is."""
    return q if isinstance(q, BottomUp | TopDown) else BottomUp(q, {}, ())


def as_value(q: Distribution, layers: Values) -> Tree:
    """The value of q with these layers."""
    return layers if isinstance(q, BottomUp | TopDown) else layers[0]


def as_noise(q: Distribution, noise: Tree) -> Values:
    """The noise of q by layer."""
    return noise if isinstance(q, BottomUp | TopDown) else (noise,)


def redraw(layered: Any, values: dict[int, Tensor], noise: Values, place: int) -> Values:
    """All layers: those in `values`, and the ones drawn from this place on at their noise."""
    values = dict(values)
    for at, index in enumerate(layered.order):
        if at >= place:
            neighbour = values[layered.order[at - 1]] if at else None
            values[index] = layered.layer(index, neighbour).sample(noise[index])
    return tuple(values[index] for index in sorted(values))


def jumps(q: Distribution) -> tuple[Float[Tensor, "d m"], ...]:
    """Where bits of batch shape () and their antithetic ones jump in their uniform noise, by layer.

    A bit jumps at 1 - p and its antithetic one at p; p takes as many values as the layer before it.

    Raises:
        ValueError: a layer has more than 2**16 states.
    """
    layered = as_layers(q)
    found: dict[int, Tensor] = {}
    family = layered.first
    for at, index in enumerate(layered.order):
        if at:
            family = layered.layer(index, _states(family))
        logits = family.logits.reshape(-1, family.logits.shape[-1])
        found[index] = torch.sigmoid(torch.cat([logits, -logits])).T
    return tuple(found[index] for index in sorted(found))


def _states(family: Any) -> Tensor:
    """The states of a family that has a batch: they are those of any one of its distributions."""
    return type(family)(family.logits.reshape(-1, family.logits.shape[-1])[0]).states()
