"""The exact gradient of the ELBO of discrete latents, as an estimator without noise: a sum over all their states."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import batch_shape, over_batch
from vae_fn.gradients.estimator import Estimator, Evaluations
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import Place, Seen, from_surrogate, weigh
from vae_fn.types import Tree


def enumeration() -> Estimator:
    """The sum over states instead of samples (Kingma et al. 2014, for classes); K means nothing to it.

    Its variance is 0 and its cost the number of states, in one layer or the product over several: at most 2**16.
    """
    return from_surrogate(
        "enumeration",
        over_states,
        unbiased_for="the ELBO",
        latents="discrete",
        noise_like=lambda q, samples: (),
        evaluations=lambda q, samples: Evaluations(_count(q), _count(q)),
    )


def over_states(problem: Problem, live: Place, held: Place, noise: Tree) -> tuple[Float[Tensor, "*b"], Seen]:
    """sum_z q(z) (f + beta (log p - log q)), live in all its parts; what is seen are its means, as one sample.

    Raises:
        ValueError: there are more than 2**16 states.
    """
    z = _states(live.q)
    log_q = live.q.log_prob(z)
    probability = log_q.exp()
    _, seen = weigh(problem, live.params, z, log_q)
    means = tree.map(lambda leaf: (probability * leaf).sum(0, keepdim=True), seen[1:])
    value = means[1].squeeze(0)
    return value, Seen(value, *means)


def _states(q: Any) -> Tree:
    """All states, for every example: `(n, *batch, *event)`."""
    batch = batch_shape(q)
    return tree.map(lambda states, n: over_batch(states, n, batch), q.states(), q.event_ndim)


def _count(q: Any) -> int:
    return len(tree.leaves(tree.shapes_of(lambda q: q.states(), q))[0])
