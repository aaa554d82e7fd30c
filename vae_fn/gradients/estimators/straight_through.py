"""Straight-through gradients: the sample in value, a smooth function of the logits in its derivative.

    z = b + s - held s

with s the mean of b (Bengio et al. 2013), or its relaxation at the same noise (Jang et al. 2017). Later layers are
drawn given z. At z, log p and log q are the families' linear extensions. The gradient is biased unless the objective is
linear in the sample.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import Bernoulli, Categorical, Distribution
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators.concrete import check_temperature
from vae_fn.gradients.estimators.layering import as_layers, as_noise, as_value, check_layers, drawn
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import Place, Seen, from_surrogate, weigh
from vae_fn.types import Tree

Smooth = Callable[[int, Any, Any, Float[Tensor, "..."]], Float[Tensor, "..."]]
"""`smooth(index, family, held, b)`: s of a layer, from its distribution, the same one held, and its sample."""


def straight_through() -> Estimator:
    """The straight-through gradient for bits and classes, in one layer or several (Bengio et al. 2013); biased."""

    def z(live: Distribution, held: Distribution, noise: Tree) -> Tree:
        return passed(live, held, noise, lambda index, family, held, b: family.mean)

    return from_passed("straight-through", z)


def straight_through_gumbel(temperature: float = 0.5) -> Estimator:
    """The straight-through Gumbel-softmax gradient for bits and classes, in one layer or several; biased.

    Args:
        temperature: of the relaxation.

    Raises:
        ValueError: the temperature is not positive.
    """
    check_temperature(temperature)

    def z(live: Distribution, held: Distribution, noise: Tree) -> Tree:
        each = as_noise(held, noise)
        return passed(live, held, noise, lambda i, family, held, b: family.relax(family.perturb(each[i]), temperature))

    return from_passed("st-gumbel", z)


def from_passed(name: str, z: Callable[[Distribution, Distribution, Tree], Tree], **settings: Any) -> Estimator:
    """The estimator that differentiates the objective at `z(live, held, noise)`, the sample in value.

    The settings are those of `stateless`.
    """

    def surrogate(problem: Problem, live: Place, held: Place, noise: Tree) -> tuple[Float[Tensor, "*b"], Seen]:
        check_layers(name, held.q, Bernoulli | Categorical, "it passes bits and classes through")
        at = z(live.q, held.q, noise)
        seen = weigh(problem, live.params, at, live.q.log_prob(at))[1]
        return seen.value, seen

    reason = "nothing: it differentiates the objective between the values that its samples take"
    return from_surrogate(name, surrogate, unbiased_for=reason, latents="discrete", **settings)


def passed(live: Distribution, held: Distribution, noise: Tree, smooth: Smooth) -> Tree:
    """The samples of q at its noise, with s in place of them where they are differentiated."""
    values = as_noise(held, held.sample(noise))
    families = as_layers(held).layers(values)

    def draw(index: int, family: Any) -> Tensor:
        at, b = families[index], values[index]
        return b + (smooth(index, family, at, b) - smooth(index, at, at, b))

    return as_value(held, drawn(as_layers(live), draw))
