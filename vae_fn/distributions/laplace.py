"""The Laplace distribution with independent coordinates."""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, distributions

from vae_fn import random
from vae_fn.distributions import location_scale
from vae_fn.types import Shape


class Laplace(NamedTuple):
    """Independent Laplace coordinates; `scale` is the mean absolute deviation (variance `2 * scale**2`).

    log p(x) = -sum_i [ |x_i - loc_i| / scale_i + log(2 scale_i) ].
    """

    loc: Float[Tensor, "*b d"]
    scale: Float[Tensor, "*b d"]

    event_ndim = 1

    @property
    def mean(self) -> Float[Tensor, "*b d"]:
        """The location."""
        return self.loc

    def noise_like(self, sample_shape: Shape = ()) -> random.Noise:
        """Standard Laplace noise, shape `(*sample_shape, *batch, d)`."""
        return location_scale.noise_like(random.laplace, self.loc, self.scale, sample_shape)

    def sample(self, noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The value at standard Laplace noise."""
        return location_scale.sample(self.loc, self.scale, noise)

    def noise_of(self, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The inverse of `sample`."""
        return location_scale.noise_of(self.loc, self.scale, value)

    def log_prob(self, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        """The log density in nats."""
        return _log_density(self.noise_of(value), self.scale)

    def log_prob_from_noise(self, noise: Float[Tensor, "*#b d"], value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        """The log density of `value = sample(noise)` in nats, from the noise."""
        return _log_density(location_scale.residual(self.loc, self.scale, noise, value), self.scale)

    def to_torch(self) -> distributions.Distribution:
        """`Independent(Laplace(loc, scale), 1)`."""
        return distributions.Independent(distributions.Laplace(self.loc, self.scale), 1)


def _log_density(residual: Float[Tensor, "*#b d"], scale: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    return -(residual.abs() + scale.log() + math.log(2)).sum(-1)
