"""Layers of latents (z_1, ..., z_L), z_1 nearest to the data, each drawn given its neighbour.

A posterior runs bottom-up, q(z_1) q(z_2 | z_1) ..., a prior top-down, p(z_L) p(z_{L-1} | z_L) ...; values and noise of
both are tuples in the one order (z_1, ..., z_L), and layers are counted from 0. The functions take the distribution as
their first argument; both directions bind them as their methods, because a NamedTuple inherits from nothing.

A layered distribution has no `mean`: beyond the layer that is drawn first there is no closed form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn.distributions.protocol import Family
from vae_fn.distributions.states import count_joint
from vae_fn.random import Noise
from vae_fn.types import Params, Shape

Values = tuple[Float[Tensor, "..."], ...]
"""The values or the noise of all layers, `(k, *batch, *event)` each."""


@dataclass(frozen=True)
class Conditional:
    """The distribution of a layer given its neighbour: a constant of the model, none of its tensors.

    Make it once for a model: a compiled step is compiled anew for each new one.

    Attributes:
        given: the distribution, from the parameters and the neighbour's value.
        family: its class.
        noise: of one event.
    """

    given: Callable[[Params, Float[Tensor, "..."]], Family]
    family: Any
    noise: Noise


pytree.register_constant(Conditional)


def conditional(given: Callable[[Params, Float[Tensor, "..."]], Family], like: Family) -> Conditional:
    """The conditional that gives distributions of the family and event of `like`, whose batch shape is ()."""
    return Conditional(given, type(like), like.noise_like())


@runtime_checkable
class Layered(Protocol):
    """What both directions have."""

    @property
    def first(self) -> Family:
        """The distribution of the layer that is drawn first."""
        ...

    @property
    def params(self) -> Params:
        """What the conditionals read."""
        ...

    @property
    def conditionals(self) -> tuple[Conditional, ...]:
        """Those of the other layers, in the order in which they are drawn."""
        ...

    @property
    def order(self) -> tuple[int, ...]:
        """The layers in the order in which they are drawn."""
        ...


def layer(layered: Layered, index: int, neighbour: Float[Tensor, "..."] | None = None) -> Family:
    """The distribution of a layer given the one that is drawn before it, which the first has not."""
    place = layered.order.index(index)
    if place == 0:
        return layered.first
    if neighbour is None:
        raise ValueError(f"layer {index} is drawn given layer {layered.order[place - 1]}: pass that layer's value")
    return layered.conditionals[place - 1].given(layered.params, neighbour)


def layers(layered: Layered, value: Values) -> tuple[Family, ...]:
    """The distribution of each layer, given the others in `value`."""
    before = dict(zip(layered.order[1:], layered.order, strict=False))
    return tuple(layer(layered, i, value[before[i]] if i in before else None) for i in range(len(value)))


def noise_like(layered: Layered, sample_shape: Shape = ()) -> tuple[Noise, ...]:
    """The noise of each layer; all layers have the batch shape of the first that is drawn."""
    first = layered.first.noise_like()
    batch = first.shape[: len(first.shape) - layered.first.event_ndim]
    rest = [Noise(each.noise.law, (*sample_shape, *batch, *each.noise.shape)) for each in layered.conditionals]
    return _in_order(layered, [layered.first.noise_like(sample_shape), *rest])


def sample(layered: Layered, noise: Values) -> Values:
    """The value of each layer at its noise, each given the one before."""
    drawn = [layered.first.sample(noise[layered.order[0]])]
    for index in layered.order[1:]:
        drawn.append(layer(layered, index, drawn[-1]).sample(noise[index]))
    return _in_order(layered, drawn)


def log_probs(layered: Layered, value: Values) -> tuple[Float[Tensor, "*b"], ...]:
    """The log density or mass of each layer given its neighbour, in nats."""
    return tuple(each.log_prob(z) for each, z in zip(layers(layered, value), value, strict=True))


def log_prob(layered: Layered, value: Values) -> Float[Tensor, "*b"]:
    """The joint log density or mass in nats."""
    first, *rest = log_probs(layered, value)
    return sum(rest, start=first)


def log_prob_from_noise(layered: Layered, noise: Values, value: Values) -> Float[Tensor, "*b"]:
    """The joint log density or mass of `value = sample(noise)` in nats, each layer's from its own noise."""
    each = zip(layers(layered, value), noise, value, strict=True)
    first, *rest = (family.log_prob_from_noise(e, z) for family, e, z in each)
    return sum(rest, start=first)


def families(layered: Layered) -> tuple[Any, ...]:
    """The class of each layer's distribution."""
    return _in_order(layered, [type(layered.first), *(each.family for each in layered.conditionals)])


def states(layered: Layered) -> Values:
    """All values of one event of discrete layers, each layer's part `(n, *event)` of the n joint ones.

    Raises:
        ValueError: there are more than 2**16.
            TypeError: a layer is continuous.
    """
    values = [_states(layered.first)]
    for index in layered.order[1:]:
        values.append(_states(layer(layered, index, values[-1][0])))
    count_joint([len(each) for each in values])
    chosen = torch.meshgrid(*(torch.arange(len(each), device=each.device) for each in values), indexing="ij")
    return _in_order(layered, [each[rows.flatten()] for each, rows in zip(values, chosen, strict=True)])


def _states(family: Any) -> Float[Tensor, "n ..."]:
    if not hasattr(family, "states"):
        raise TypeError(f"the values of a {type(family).__name__} layer cannot be listed: integrate or sample")
    return family.states()


def _in_order(layered: Layered, drawn: list) -> tuple:
    """What was found in the order of drawing, as (z_1, ..., z_L)."""
    return tuple(drawn[layered.order.index(i)] for i in range(len(drawn)))


class BottomUp(NamedTuple):
    """q(z_1) q(z_2 | z_1) ... q(z_L | z_{L-1}); `first` is q(z_1)."""

    first: Family
    params: Params
    conditionals: tuple[Conditional, ...]

    layer = layer
    layers = layers
    noise_like = noise_like
    sample = sample
    log_probs = log_probs
    log_prob = log_prob
    log_prob_from_noise = log_prob_from_noise
    states = states

    @property
    def event_ndim(self) -> tuple[int, ...]:
        """The number of axes of each layer's event."""
        return tuple(each.event_ndim for each in families(self))

    @property
    def families(self) -> tuple[Any, ...]:
        """The class of each layer's distribution."""
        return families(self)

    @property
    def order(self) -> tuple[int, ...]:
        """Upwards from the layer nearest to the data."""
        return tuple(range(len(self.conditionals) + 1))


class TopDown(NamedTuple):
    """p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_2); `first` is p(z_L), the first conditional p(z_{L-1} | z_L)."""

    first: Family
    params: Params
    conditionals: tuple[Conditional, ...]

    layer = layer
    layers = layers
    noise_like = noise_like
    sample = sample
    log_probs = log_probs
    log_prob = log_prob
    log_prob_from_noise = log_prob_from_noise
    states = states

    @property
    def event_ndim(self) -> tuple[int, ...]:
        """The number of axes of each layer's event."""
        return tuple(each.event_ndim for each in families(self))

    @property
    def families(self) -> tuple[Any, ...]:
        """The class of each layer's distribution."""
        return families(self)

    @property
    def order(self) -> tuple[int, ...]:
        """Downwards from the layer farthest from the data."""
        return tuple(range(len(self.conditionals), -1, -1))
