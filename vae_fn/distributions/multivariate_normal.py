"""The normal distribution with full covariance."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, distributions

from vae_fn import random
from vae_fn.distributions.normal import HALF_LOG_TWO_PI
from vae_fn.types import Shape


class MultivariateNormal(NamedTuple):
    """N(loc, L L^T) with L = `scale_tril`, lower triangular with a positive diagonal.

    log p(x) = -|L^-1 (x - loc)|**2 / 2 - sum_i log L_ii - d log(2 pi) / 2.
    """

    loc: Float[Tensor, "*b d"]
    scale_tril: Float[Tensor, "*b d d"]

    event_ndim = 1
    leaf_ndims = (1, 2)

    @property
    def mean(self) -> Float[Tensor, "*b d"]:
        """The location."""
        return self.loc

    def noise_like(self, sample_shape: Shape = ()) -> random.Noise:
        """Standard normal noise, shape `(*sample_shape, *batch, d)`."""
        return random.Noise(random.normal, (*sample_shape, *self._shape()))

    def sample(self, noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The value at standard normal noise."""
        return self.loc + _apply(self.scale_tril, noise)

    def noise_of(self, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The inverse of `sample`."""
        return solve_lower(self.scale_tril, value - self.loc)

    def log_prob(self, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        """The log density in nats."""
        return self._log_density(self.noise_of(value))

    def log_prob_from_noise(self, noise: Float[Tensor, "*#b d"], value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        """The log density of `value = sample(noise)` in nats, from the noise; see `location_scale.residual`."""
        moved = (value - value.detach()) - (self.loc - self.loc.detach())
        return self._log_density(solve_lower(self.scale_tril, moved + _apply(self.scale_tril, noise).detach()))

    def to_torch(self) -> distributions.Distribution:
        """`MultivariateNormal(loc, scale_tril=scale_tril)`."""
        return distributions.MultivariateNormal(self.loc, scale_tril=self.scale_tril)

    def _shape(self) -> Shape:
        return tuple(torch.broadcast_shapes(self.loc.shape, self.scale_tril.shape[:-1]))

    def _log_density(self, residual: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        log_scale = self.scale_tril.diagonal(dim1=-2, dim2=-1).log()
        return -(0.5 * residual**2 + log_scale + HALF_LOG_TWO_PI).sum(-1)


def _apply(matrix: Float[Tensor, "*#b d d"], vector: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def solve_lower(lower: Float[Tensor, "*#b d d"], vector: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
    """L^-1 v for a lower-triangular L."""
    return torch.linalg.solve_triangular(lower, vector.unsqueeze(-1), upper=False).squeeze(-1)
