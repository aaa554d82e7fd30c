"""The logistic distribution with independent coordinates."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, distributions
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions import location_scale


class Logistic(NamedTuple):
    """Independent logistic coordinates; the distribution function is `sigmoid((x - loc) / scale)`.

    log p(x) = sum_i [ log sigmoid(r_i) + log sigmoid(-r_i) - log scale_i ],  r = (x - loc) / scale.
    """

    loc: Float[Tensor, "*b d"]
    scale: Float[Tensor, "*b d"]

    event_ndim = 1
    law = staticmethod(random.logistic)
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
        """Standard logistic: log sigmoid(r) + log sigmoid(-r)."""
        return F.logsigmoid(residual) + F.logsigmoid(-residual)

    def to_torch(self) -> distributions.Distribution:
        """An affine map of the logit of a uniform variable: torch has no logistic of its own."""
        zero, one = self.loc.new_zeros(()), self.loc.new_ones(())
        logit = distributions.SigmoidTransform().inv
        affine = distributions.AffineTransform(self.loc, self.scale, event_dim=0)
        base = distributions.Uniform(zero, one).expand(self.loc.shape)
        return distributions.Independent(distributions.TransformedDistribution(base, [logit, affine]), 1)
