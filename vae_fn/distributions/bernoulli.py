"""Independent Bernoulli coordinates."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, distributions
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions.states import count_states
from vae_fn.types import Shape


class Bernoulli(NamedTuple):
    """Independent bits with P(x_i = 1) = sigmoid(logits_i).

    log p(x) = sum_i [ x_i log sigmoid(l_i) + (1 - x_i) log sigmoid(-l_i) ], linear in x: at a grey value in (0, 1) it
    is the mean over bits drawn with that probability, a cross-entropy and no density.
    """

    logits: Float[Tensor, "*b d"]

    event_ndim = 1

    @property
    def mean(self) -> Float[Tensor, "*b d"]:
        """The probabilities of a one."""
        return torch.sigmoid(self.logits)

    def noise_like(self, sample_shape: Shape = ()) -> random.Noise:
        """Uniform noise, shape `(*sample_shape, *batch, d)`."""
        return random.Noise(random.uniform, (*sample_shape, *self.logits.shape))

    def sample(self, noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """One where the noise exceeds the probability of a zero; no gradient."""
        return (noise > torch.sigmoid(-self.logits)).to(self.logits.dtype)

    def log_prob(self, value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        """The log mass in nats, from the logits and so finite and with full gradient wherever they saturate.

        With z = exp(-|l|) it is (x - [l >= 0]) l - log(1 + z), two terms of one sign. log(1 + z) is that of the rounded
        sum, and what rounding took from it, whose derivatives are 0: right to two units of the last place. With torch's
        log1p or logsigmoid the whole takes five times as long where torch is built for AVX-512 (torch 2.14).
        """
        negative = self.logits < 0  # not abs, whose derivatives at 0 are others
        z = torch.exp(torch.where(negative, self.logits, -self.logits))
        rounded = 1 + z
        lost = z - (rounded - 1)
        return (torch.where(negative, value, value - 1) * self.logits - (torch.log(rounded) + lost)).sum(-1)

    def log_prob_from_noise(self, noise: Float[Tensor, "*#b d"], value: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
        """The log mass of `value`: a bit remembers nothing of its noise."""
        del noise
        return self.log_prob(value)

    def perturb(self, noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The logits plus the logit of the noise: `sample` is one where this is positive (Tucker et al. 2017)."""
        return self.logits + torch.logit(noise)

    def perturb_given(self, value: Float[Tensor, "*#b d"], noise: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """What `perturb` gives, drawn anew given the bits (Tucker et al. 2017, appendix C)."""
        logit = torch.logit(noise)
        up, down = F.softplus(logit + F.softplus(self.logits)), -F.softplus(F.softplus(-self.logits) - logit)
        return torch.where(value > 0.5, up, down)

    def noise_given(self, value: Float[Tensor, "*#b d"], perturbed: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
        """The noise in (0, 1) at which `perturb_given` gives these perturbed logits: its inverse, to rounding."""
        size, limits = perturbed.abs(), torch.finfo(perturbed.dtype)
        grown = size + torch.log(-torch.expm1(-size))  # log(exp(size) - 1), which would overflow
        up, down = grown - F.softplus(self.logits), F.softplus(-self.logits) - grown
        return torch.sigmoid(torch.where(value > 0.5, up, down)).clamp(limits.tiny, 1 - limits.eps)

    def relax(self, perturbed: Float[Tensor, "*#b d"], temperature: float | Tensor) -> Float[Tensor, "*#b d"]:
        """The binary concrete value of perturbed logits (Maddison et al. 2017)."""
        return torch.sigmoid(perturbed / temperature)

    def states(self) -> Float[Tensor, "n d"]:
        """All vectors of d bits, 2**d of them."""
        d, device = self.logits.shape[-1], self.logits.device
        numbers, places = torch.arange(count_states(2, d), device=device), torch.arange(d, device=device)
        return (numbers.unsqueeze(-1) >> places & 1).to(self.logits.dtype)

    def to_torch(self) -> distributions.Distribution:
        """`Independent(Bernoulli(logits=logits), 1)`."""
        return distributions.Independent(distributions.Bernoulli(logits=self.logits), 1)
