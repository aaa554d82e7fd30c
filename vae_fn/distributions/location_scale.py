"""What the location-scale families share: `value = loc + scale * noise`, elementwise."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.random import Noise
from vae_fn.types import Shape


def sample(
    loc: Float[Tensor, "*#b d"], scale: Float[Tensor, "*#b d"], noise: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """The value at standard noise."""
    return loc + scale * noise


def noise_of(
    loc: Float[Tensor, "*#b d"], scale: Float[Tensor, "*#b d"], value: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """The standard noise of a value; it loses digits where `scale` is small beside `loc`."""
    return (value - loc) / scale


def residual(
    loc: Float[Tensor, "*#b d"],
    scale: Float[Tensor, "*#b d"],
    noise: Float[Tensor, "*#b d"],
    value: Float[Tensor, "*#b d"],
) -> Float[Tensor, "*#b d"]:
    """The noise in value, `(value - loc) / scale` in every derivative.

    In float32 `loc + scale * noise` rounds the noise away once `scale` is small beside `loc`, and `noise_of` cannot
    bring it back. Here the differences are zero in value and carry the derivatives; the value comes from the noise.
    """
    moved = (value - value.detach()) - (loc - loc.detach())
    return (moved + noise * scale.detach()) / scale


def noise_like(law: Callable, loc: Float[Tensor, "*#b d"], scale: Float[Tensor, "*#b d"], sample_shape: Shape) -> Noise:
    """Standard noise of the family's law for `sample_shape` draws of the whole batch."""
    return Noise(law, (*sample_shape, *torch.broadcast_shapes(loc.shape, scale.shape)))
