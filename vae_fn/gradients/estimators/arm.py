"""ARM: augment, REINFORCE, merge (Yin & Zhou 2019).

With p = sigmoid(theta), b = 1[u > 1 - p] and b~ = 1[u < p], the gradient of E f(b) in theta is the mean of

    (f(b) - f(b~)) (u - 1/2).
"""

from jaxtyping import Float
from torch import Tensor

from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators.pairs import from_pairs


def arm() -> Estimator:
    """ARM for Bernoulli latents, in one layer or several (Yin & Zhou 2019)."""
    return from_pairs("arm", scores)


def scores(
    logits: Float[Tensor, "*#b d"], uniform: Float[Tensor, "*#b d"], apart: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """U - 1/2, also of the bits that the pair has in common."""
    del logits, apart
    return uniform - 0.5
