"""The relaxed gradient: Concrete or Gumbel-softmax samples (Maddison et al. 2017; Jang et al. 2017).

With z the logits perturbed by noise, the sample b is where z is positive, or largest; its relaxation is

    sigmoid(z / temperature),    or    softmax(z / temperature).

The gradient is that of the objective at relaxed samples, which also feed the layers above; log p and log q are there
the families' linear extensions, not the densities of the relaxed variables (Maddison et al. 2017, appendix C). The
value is the objective's at the samples themselves.
"""

from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import Bernoulli, Categorical, Distribution
from vae_fn.gradients.estimator import Estimator, Evaluations
from vae_fn.gradients.estimators.layering import as_layers, as_noise, as_value, check_layers, drawn
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import Place, Seen, from_surrogate, weigh
from vae_fn.types import Tree


def gumbel_softmax(temperature: float = 0.5) -> Estimator:
    """The Gumbel-softmax gradient for bits and one-hot classes, in one layer or several; biased.

    Args:
        temperature: of the relaxation: the lower, the smaller the bias and the larger the variance.

    Raises:
        ValueError: the temperature is not positive.
    """
    check_temperature(temperature)

    def surrogate(problem: Problem, live: Place, held: Place, noise: Tree) -> tuple[Float[Tensor, "*b"], Seen]:
        z = relaxed(live.q, noise, temperature)
        total = weigh(problem, live.params, z, live.q.log_prob(z))[1].value
        hard = held.q.sample(noise)
        return total, weigh(problem, held.params, hard, held.q.log_prob(hard))[1]

    return from_surrogate(
        "gumbel-softmax",
        surrogate,
        unbiased_for="nothing: its gradient is that of another objective, at relaxed samples",
        latents="discrete",
        evaluations=lambda q, samples: Evaluations(2 * samples, samples),
    )


def relaxed(q: Distribution, noise: Tree, temperature: float) -> Tree:
    """Relaxed samples `(k, *batch, *event)` of q, each layer drawn given the relaxed one before it."""
    check_layers("gumbel-softmax", q, Bernoulli | Categorical, "it relaxes bits and classes")
    each = as_noise(q, noise)
    layers = drawn(as_layers(q), lambda index, family: family.relax(family.perturb(each[index]), temperature))
    return as_value(q, layers)


def check_temperature(temperature: float) -> None:
    """Refuse what no relaxation has.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature divides perturbed logits: it is above 0, not {temperature}")
