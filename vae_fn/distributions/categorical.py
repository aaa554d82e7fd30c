"""Independent one-hot variables."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, distributions
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions.states import count_states
from vae_fn.types import Shape


class Categorical(NamedTuple):
    """`v` independent variables with `c` classes each, values one-hot along the last axis.

    log p(x) = sum_v sum_c x_vc log softmax(logits_v)_c. The event has two axes, so that several categorical latents
    are one distribution; a single variable has v = 1.
    """

    logits: Float[Tensor, "*b v c"]

    event_ndim = 2

    @property
    def mean(self) -> Float[Tensor, "*b v c"]:
        """The class probabilities."""
        return torch.softmax(self.logits, -1)

    def noise_like(self, sample_shape: Shape = ()) -> random.Noise:
        """Gumbel noise, shape `(*sample_shape, *batch, v, c)`."""
        return random.Noise(random.gumbel, (*sample_shape, *self.logits.shape))

    def sample(self, noise: Float[Tensor, "*#b v c"]) -> Float[Tensor, "*#b v c"]:
        """The one-hot of the largest perturbed logit (Gumbel-max, Maddison et al. 2014); no gradient."""
        classes = torch.arange(self.logits.shape[-1], device=self.logits.device)
        winner = (self.logits + noise).argmax(-1, keepdim=True)
        return (winner == classes).to(self.logits.dtype)

    def log_prob(self, value: Float[Tensor, "*#b v c"]) -> Float[Tensor, "*#b"]:
        """The log mass in nats."""
        return (value * F.log_softmax(self.logits, -1)).sum((-2, -1))

    def log_prob_from_noise(
        self, noise: Float[Tensor, "*#b v c"], value: Float[Tensor, "*#b v c"]
    ) -> Float[Tensor, "*#b"]:
        """The log mass of `value`: a class remembers nothing of its noise."""
        del noise
        return self.log_prob(value)

    def perturb(self, noise: Float[Tensor, "*#b v c"]) -> Float[Tensor, "*#b v c"]:
        """The logits plus the noise: `sample` is the class where this is largest."""
        return self.logits + noise

    def perturb_given(
        self, value: Float[Tensor, "*#b v c"], noise: Float[Tensor, "*#b v c"]
    ) -> Float[Tensor, "*#b v c"]:
        """What `perturb` gives, drawn anew given the classes (Maddison et al. 2014; Tucker et al. 2017, appendix C).

        With log z = logsumexp of the logits, the largest is Gumbel around log z, and the others are cut at it.
        """
        largest = ((noise + torch.logsumexp(self.logits, -1, keepdim=True)) * value).sum(-1, keepdim=True)
        others = -torch.logaddexp(-(self.logits + noise), -largest)
        return torch.where(value > 0.5, largest, others)

    def noise_given(
        self, value: Float[Tensor, "*#b v c"], perturbed: Float[Tensor, "*#b v c"]
    ) -> Float[Tensor, "*#b v c"]:
        """The noise at which `perturb_given` gives these perturbed logits: its inverse, to rounding."""
        largest = (perturbed * value).sum(-1, keepdim=True)
        below = (largest - perturbed).clamp(torch.finfo(perturbed.dtype).tiny)
        others = perturbed - torch.log(-torch.expm1(-below)) - self.logits
        return torch.where(value > 0.5, largest - torch.logsumexp(self.logits, -1, keepdim=True), others)

    def relax(self, perturbed: Float[Tensor, "*#b v c"], temperature: float | Tensor) -> Float[Tensor, "*#b v c"]:
        """The concrete value of perturbed logits (Maddison et al. 2017; Jang et al. 2017)."""
        return torch.softmax(perturbed / temperature, -1)

    def states(self) -> Float[Tensor, "n v c"]:
        """All choices of one class for each variable, c**v of them."""
        (v, c), device = self.logits.shape[-2:], self.logits.device
        numbers, places = torch.arange(count_states(c, v), device=device), torch.arange(v, device=device)
        chosen = numbers.unsqueeze(-1) // c**places % c
        one_hot = chosen.unsqueeze(-1) == torch.arange(c, device=device)  # torch's looks at values
        return one_hot.to(self.logits.dtype)

    def to_torch(self) -> distributions.Distribution:
        """`Independent(OneHotCategorical(logits=logits), 1)`."""
        return distributions.Independent(distributions.OneHotCategorical(logits=self.logits), 1)
