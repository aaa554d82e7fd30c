"""What reweighted wake-sleep follows in mean (Bornschein & Bengio 2015; Le et al. 2019).

The decoder climbs the K-sample bound, and q climbs log q at samples with self-normalised weights. With M as in
`importance`, the mean of K normalised weights times anything of their samples is

    E[sum_k w~_k g(z_k)] = K * integral over t > 0 of E[w g e^{-t w}] M(t)**(K - 1) dt,

and g is weighed at every node by the derivative of the bound in the node's log-weight. As K grows the bound becomes
log E w = log p(x), and the weighed mean that under the posterior, E_{p(z | x)} g.
"""

import math

import torch

from vae_fn.distributions import Distribution
from vae_fn.errors import check_count
from vae_fn.gradients.estimators.importance import check_importance
from vae_fn.gradients.oracles.exact import Computation, Exact, refined
from vae_fn.gradients.oracles.importance import target_of
from vae_fn.gradients.oracles.supports import supports
from vae_fn.gradients.oracles.weighing import Averaged, PerNode, Rows, Support, Target, log_weights_at, pull, table
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params


def phase(problem: Problem, params: Params, samples: int | float, order: int | None = None) -> Exact:
    """The K-sample bound, its gradient in all but q, and E[sum_k w~_k grad log q(z_k)] in q.

    Args:
        problem: with sampled KL and beta = 1, in float64.
        params: where.
        samples: K, or `math.inf` for log p(x), its gradient, and E_{p(z | x)} grad log q(z).
        order: of the rule of each continuous latent, as in `quadrature.elbo`.

    Raises:
        ValueError: as `importance.bound`, but for infinity; and a KL that is exact, or another beta.
    """
    check_importance(problem)
    limit = samples == math.inf
    if not limit:
        check_count("samples", samples)
    target = _log_evidence if limit else target_of
    computations = (
        _follow(problem, params, support, (support.log_mean or target)(samples, level))
        for level, support in enumerate(supports(problem, params, order))
    )
    return refined(computations, "posterior" if limit else "integral")


def _log_evidence(samples: int | float, level: int) -> Target:
    """The limit of the K-sample bound."""
    return log_evidence


def log_evidence(log_weights: PerNode, weights: PerNode) -> Averaged:
    """Log E w, and the posterior's mass at each node: the limit of the K-sample bound."""
    value = torch.logsumexp(log_weights + weights.log(), 0)
    relative = torch.exp(log_weights - value)
    return Averaged(value, weights * relative, relative)


def _follow(problem: Problem, params: Params, support: Support, target: Target) -> Computation:
    averaged, held = target(*table(problem, params, support)), problem.q(params)

    def wires(params: Params, q: Distribution, support: Support, rows: Rows) -> tuple[PerNode, PerNode]:
        z, log_q, _ = support.at(held, rows)
        return log_weights_at(problem, params, z, log_q), q.log_prob(z)

    grads = pull(problem, params, support, (averaged.by_log_weight, averaged.by_log_weight), wires)
    return Computation(averaged.value, grads, averaged.lost)
