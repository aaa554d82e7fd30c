"""The ELBO of up to three continuous latents by product quadrature over q's noise.

Gauss-Hermite for normal latents, and the rules of `nodes` for the others (Golub & Welsch 1969). The nodes serve the
K-sample bounds too.
"""

import math
from collections.abc import Iterator

from vae_fn import tree
from vae_fn.distributions import Distribution, batch_shape, is_discrete, over_batch
from vae_fn.gradients.oracles.exact import Exact, refined
from vae_fn.gradients.oracles.nodes import Nodes, rising
from vae_fn.gradients.oracles.weighing import PerNode, Rows, Support, integrate, latents, mean, one_event
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params, Shape, Tree

MOST = 3
"""Latent dimensions."""

ORDERS = {1: (36, 54, 80, 120, 180), 2: (16, 24, 36, 54, 81, 121), 3: (12, 18, 27, 40)}
"""The orders that are tried, by the number of dimensions, until two agree to 1e-9."""

EVALUATIONS = 2**18
"""Nodes times examples that a third order, or a later one, may have."""


def elbo(problem: Problem, params: Params, order: int | None = None) -> Exact:
    """E[f + beta (log p - log q)] + exact.

    Args:
        problem: with a continuous q of up to three dimensions, in float64.
        params: where.
        order: of each dimension's rule, compared with two thirds of it; by default orders rise until two agree.

    Raises:
        ValueError: there are more dimensions, q is discrete, or the law of its noise has no rule; or the
            problem is not in float64.
    """
    return refined((integrate(problem, params, each, mean) for each in supports(problem, params, order)), "quadrature")


def supports(problem: Problem, params: Params, order: int | None = None) -> Iterator[Support]:
    """The nodes at two thirds of an order and at the order, or at all that are tried, within `EVALUATIONS`."""
    q = problem.q(params)
    orders, batch = ORDERS[_few(q)], batch_shape(q)
    orders = orders if order is None else (-(-2 * order // 3), order)
    for place, rule in enumerate(rising(one_event(q), orders)):
        found = support_of(rule, batch)
        if place > 1 and found.nodes * math.prod(batch) > EVALUATIONS:
            return
        yield found


def support_of(rule: Nodes, batch: Shape) -> Support:
    """Nodes in place of the noise of one example; all examples have the same, at their own z."""

    def at(q: Distribution, rows: Rows) -> tuple[Tree, PerNode, PerNode]:
        noise = tree.map(lambda nodes, n: over_batch(nodes[rows], n, batch), rule.noise, q.event_ndim)
        z = q.sample(noise)
        return z, q.log_prob_from_noise(noise, z), over_batch(rule.weights[rows], 0, batch)

    return Support(len(rule.weights), at)


def _few(q: Distribution) -> int:
    """The dimensions of one latent.

    Raises:
        ValueError: there are too many, or q has states.
    """
    kind = type(q).__name__
    if is_discrete(q):
        raise ValueError(f"{kind} latents have states and no quadrature: use enumeration")
    found = latents(q)
    if found > MOST:
        raise ValueError(
            f"{found} {kind} latents: quadrature takes at most {MOST}; pose a model of fewer, or measure against a "
            "long average"
        )
    return found
