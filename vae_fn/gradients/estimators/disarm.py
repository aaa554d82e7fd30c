"""DisARM, or U2G: ARM averaged over what it does not need (Dong et al. 2020; Yin et al. 2020).

With theta the logit of p, b = 1[u > 1 - p] and b~ = 1[u < p], the gradient of E f(b) in theta is the mean of

    1/2 (f(b) - f(b~)) (-1)**b~ 1[b != b~] sigmoid(|theta|),

which is the mean of ARM given the pair: its variance is at most ARM's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators.pairs import from_pairs


def disarm() -> Estimator:
    """DisARM for Bernoulli latents, in one layer or several (Dong et al. 2020; Yin et al. 2020)."""
    return from_pairs("disarm", scores)


def scores(
    logits: Float[Tensor, "*#b d"], uniform: Float[Tensor, "*#b d"], apart: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """(-1)**b~ 1[b != b~] sigmoid(|theta|) / 2; `apart` is b - b~, which is the first two factors."""
    del uniform
    return 0.5 * apart * torch.sigmoid(logits.abs())
