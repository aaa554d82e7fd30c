"""The ELBO of discrete latents by summing over all their states.

Of layers, a state is one of all layers together, weighed by the product of its layers' conditional masses.
"""

from typing import Any

from vae_fn import tree
from vae_fn.distributions import Bernoulli, Categorical, Distribution, batch_shape, is_discrete, over_batch
from vae_fn.gradients.oracles.exact import Exact, refined
from vae_fn.gradients.oracles.weighing import PerNode, Rows, Support, integrate, mean
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params, Tree


def elbo(problem: Problem, params: Params) -> Exact:
    """E[f + beta (log p - log q)] + exact; its error is rounding.

    Raises:
        ValueError: q or a layer of it is continuous, it has more than 2**16 states, or the problem is not in float64.
    """
    return refined([integrate(problem, params, states_of(problem.q(params)), mean)], "enumeration")


def states_of(q: Any) -> Support:
    """All states of a discrete distribution, the same for all examples, weighed by their masses."""
    if not is_discrete(q):
        raise ValueError(f"{type(q).__name__} latents have no states to enumerate: use quadrature")
    for family in getattr(q, "families", ()):
        if not issubclass(family, Bernoulli | Categorical):
            raise ValueError(f"a {family.__name__} layer beside discrete ones has no states to enumerate: sample")
    states, batch = q.states(), batch_shape(q)

    def at(q: Distribution, rows: Rows) -> tuple[Tree, PerNode, PerNode]:
        z = tree.map(lambda values, n: over_batch(values[rows], n, batch), states, q.event_ndim)
        log_q = q.log_prob(z)
        return z, log_q, log_q.exp()

    return Support(len(tree.leaves(states)[0]), at)
