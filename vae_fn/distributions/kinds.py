"""What kinds of distributions there are."""

from vae_fn.distributions.bernoulli import Bernoulli
from vae_fn.distributions.categorical import Categorical
from vae_fn.distributions.protocol import Distribution


def is_discrete(q: Distribution) -> bool:
    """Whether q gives bits or one-hot classes, in any of its layers if it has several."""
    return any(issubclass(family, Bernoulli | Categorical) for family in getattr(q, "families", (type(q),)))
