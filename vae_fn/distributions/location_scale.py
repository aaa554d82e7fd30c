"""What the location-scale families share: `value = loc + scale * noise`, coordinate by coordinate.

The functions take the family as their first argument; each family binds them as its methods, because a NamedTuple
inherits from nothing.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.random import Noise
from vae_fn.types import Shape


@runtime_checkable
class LocationScale(Protocol):
    """A family of vectors with independent coordinates, the affine images of one standard variate."""

    @property
    def loc(self) -> Float[Tensor, "*b d"]:
        """The location of each coordinate."""
        ...

    @property
    def scale(self) -> Float[Tensor, "*b d"]:
        """The positive scale of each coordinate."""
        ...

    @property
    def law(self) -> Callable[..., Tensor]:
        """How the standard variate is drawn."""
        ...

    @staticmethod
    def standard_log_prob(residual: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """The log density of the standard variate, by coordinate."""
        ...


def noise_like(family: LocationScale, sample_shape: Shape = ()) -> Noise:
    """Standard noise of the family's law, shape `(*sample_shape, *batch, d)`."""
    return Noise(family.law, (*sample_shape, *torch.broadcast_shapes(family.loc.shape, family.scale.shape)))


def sample(family: LocationScale, noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
    """The value at standard noise."""
    return family.loc + family.scale * noise


def noise_of(family: LocationScale, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
    """The inverse of `sample`; it loses digits where the scale is small beside the location."""
    return (value - family.loc) / family.scale


def log_prob(family: LocationScale, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    """The log density of a value in nats."""
    return _log_density(family, noise_of(family, value))


def log_prob_from_noise(
    family: LocationScale, noise: Float[Tensor, "*#b d"], value: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b"]:
    """The log density of `value = sample(noise)` in nats, from the noise."""
    return _log_density(family, residual(family, noise, value))


def residual(
    family: LocationScale, noise: Float[Tensor, "*#b d"], value: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """The noise in value, `(value - loc) / scale` in every derivative (that by the noise runs through the value).

    In float32 `loc + scale * noise` rounds the noise away once `scale` is small beside `loc`, and `noise_of` cannot
    bring it back. Here the differences are zero in value and carry the derivatives; the value comes from the noise.
    """
    moved = (value - value.detach()) - (family.loc - family.loc.detach())
    return (moved + (family.scale * noise).detach()) / family.scale


def _log_density(family: LocationScale, residual: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    return (family.standard_log_prob(residual) - family.scale.log()).sum(-1)
