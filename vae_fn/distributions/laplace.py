"""The Laplace distribution with independent coordinates."""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, distributions

from vae_fn import random
from vae_fn.distributions import location_scale


class Laplace(NamedTuple):
    """Independent Laplace coordinates; `scale` is the mean absolute deviation (variance `2 * scale**2`).

    log p(x) = -sum_i [ |x_i - loc_i| / scale_i + log(2 scale_i) ].
    """

    loc: Float[Tensor, "*b d"]
    scale: Float[Tensor, "*b d"]

    event_ndim = 1
    law = staticmethod(random.laplace)
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
        """Standard Laplace: -|r| - log 2."""
        return -residual.abs() - math.log(2)

    def to_torch(self) -> distributions.Distribution:
        """`Independent(Laplace(loc, scale), 1)`."""
        return distributions.Independent(distributions.Laplace(self.loc, self.scale), 1)
