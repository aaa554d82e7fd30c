"""The diagonal normal distribution."""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, distributions

from vae_fn import random
from vae_fn.distributions import location_scale

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Normal(NamedTuple):
    """N(loc, diag(scale**2)) over vectors; `scale` is a standard deviation.

    log p(x) = -sum_i [ ((x_i - loc_i) / scale_i)**2 / 2 + log scale_i + log(2 pi) / 2 ].
    """

    loc: Float[Tensor, "*b d"]
    scale: Float[Tensor, "*b d"]

    event_ndim = 1
    law = staticmethod(random.normal)
    noise_like = location_scale.noise_like
    sample = location_scale.sample
    noise_of = location_scale.noise_of
    log_prob = location_scale.log_prob
    log_prob_from_noise = location_scale.log_prob_from_noise

    @property
    def mean(self) -> Float[Tensor, "*b d"]:
        """The location."""
        return self.loc

    @staticmethod
    def standard_log_prob(residual: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Standard normal: -r**2 / 2 - log(2 pi) / 2."""
        return -0.5 * residual**2 - HALF_LOG_TWO_PI

    def to_torch(self) -> distributions.Distribution:
        """`Independent(Normal(loc, scale), 1)`."""
        return distributions.Independent(distributions.Normal(self.loc, self.scale), 1)
