"""The logistic distribution with independent coordinates."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, distributions
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions import location_scale
from vae_fn.types import Shape


class Logistic(NamedTuple):
    """Independent logistic coordinates; the distribution function is `sigmoid((x - loc) / scale)`.

    log p(x) = sum_i [ log sigmoid(r_i) + log sigmoid(-r_i) - log scale_i ],  r = (x - loc) / scale.
    """

    loc: Float[Tensor, "*b d"]
    scale: Float[Tensor, "*b d"]

    event_ndim = 1

    @property
    def mean(self) -> Float[Tensor, "*b d"]:
        """The location."""
        return self.loc

    def noise_like(self, sample_shape: Shape = ()) -> random.Noise:
        """Standard logistic noise, shape `(*sample_shape, *batch, d)`."""
        return location_scale.noise_like(random.logistic, self.loc, self.scale, sample_shape)

    def sample(self, noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The value at standard logistic noise."""
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
        """An affine map of the logit of a uniform variable: torch has no logistic of its own."""
        zero, one = self.loc.new_zeros(()), self.loc.new_ones(())
        logit = distributions.SigmoidTransform().inv
        affine = distributions.AffineTransform(self.loc, self.scale, event_dim=0)
        base = distributions.Uniform(zero, one).expand(self.loc.shape)
        return distributions.Independent(distributions.TransformedDistribution(base, [logit, affine]), 1)


def _log_density(residual: Float[Tensor, "*#b d"], scale: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    return (F.logsigmoid(residual) + F.logsigmoid(-residual) - scale.log()).sum(-1)
