"""Latents in one layer or in several, seen alike."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import Bernoulli, BottomUp, Distribution, TopDown
from vae_fn.distributions.layered import Values
from vae_fn.types import Tree


def as_layers(q: Any) -> Any:
    """Q as layers: itself if it has any, else the one layer that it is."""
    return q if isinstance(q, BottomUp | TopDown) else BottomUp(q, {}, ())


def as_value(q: Distribution, layers: tuple[Any, ...]) -> Tree:
    """The value of q with these layers, or what there is of one."""
    return layers if isinstance(q, BottomUp | TopDown) else layers[0]


def as_noise(q: Distribution, noise: Tree) -> tuple[Any, ...]:
    """The noise of q by layer, or what specifies it."""
    return noise if isinstance(q, BottomUp | TopDown) else (noise,)


def check_layers(name: str, q: Distribution, families: Any, advice: str) -> None:
    """Refuse a q with a layer that is none of these families.

    Raises:
        ValueError: there is such a layer; the message ends with the advice.
    """
    for family in as_layers(q).families:
        if not issubclass(family, families):
            raise ValueError(f"{name} does not know what to do with {family.__name__} latents: {advice}")


def drawn(layered: Any, draw: Callable[[int, Any], Tensor]) -> Values:
    """All layers, each `draw(index, family)` from its distribution given the layer before it."""
    values: dict[int, Tensor] = {}
    for at, index in enumerate(layered.order):
        neighbour = values[layered.order[at - 1]] if at else None
        values[index] = draw(index, layered.layer(index, neighbour))
    return tuple(values[index] for index in sorted(values))


def zeros(family: Bernoulli) -> Float[Tensor, "n d"]:
    """The probability that each bit is 0, of every distribution in the batch: where bits jump in their noise."""
    return torch.sigmoid(-family.logits).reshape(-1, family.logits.shape[-1])


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
        zero = zeros(family)
        found[index] = torch.cat([zero, 1 - zero]).T
    return tuple(found[index] for index in sorted(found))


def _states(family: Any) -> Tensor:
    """The states of a family that has a batch: they are those of any one of its distributions."""
    return type(family)(family.logits.reshape(-1, family.logits.shape[-1])[0]).states()
