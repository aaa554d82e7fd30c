"""Exact mean and variance of an estimator, by integrating over its own noise.

Where the noise is that of discrete latents alone and the estimate depends on their values alone, all states are
enumerated. Everything else is integrated at growing orders until two agree: between the jumps that an estimator names,
those that are piecewise constant agree at orders 1 and 2.
"""

from collections.abc import Callable, Iterator

import torch

from vae_fn import tree
from vae_fn.distributions import Bernoulli, batch_shape, is_discrete
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators.layering import zeros
from vae_fn.gradients.oracles.moments import Moments, changes, moments
from vae_fn.gradients.oracles.nodes import LIMIT, Nodes, enumerate_states, rising
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params, Tree

AGREED = 1e-9
"""The change of mean and variance from one order to the next, relative to 1 + |value|, at which the next is taken."""

TOLERATED = 1e-6
"""The change beyond which the last two orders say nothing."""

PIECES = (1, 2, 3, 4, 6, 9, 14, 21, 32, 48, 72)
"""Orders on the pieces between jumps."""

SMOOTH = (6, 9, 14, 21, 32, 48, 72, 108, 162)
"""Orders where there are no jumps."""


def moments_of(estimator: Estimator, problem: Problem, params: Params, samples: int, state: Tree) -> Moments:
    """Mean and variance of one estimate, a tree `{"value", "grads"}`, at one datum.

    The errors are the changes from the order before the last, 0 where states are enumerated.

    Args:
        estimator: any; its noise has a few dimensions, or few states.
        problem: of batch shape (), in float64.
        params: where.
        samples: K.
        state: the estimator's, which is held.

    Raises:
        ValueError: there is a batch; there are too many nodes or states for two orders, or for two that agree, and the
            message says how many; or the estimator refuses the problem.
    """

    def estimate(noise: Tree) -> dict[str, Tree]:
        found = estimator.estimate(problem, params, noise, state)
        return {"value": found.value, "grads": found.grads}

    q = problem.q(params)
    if batch_shape(q):
        raise ValueError(f"variances are those of one datum, and here is a batch {tuple(batch_shape(q))}: pose one")
    specs = estimator.noise_like(problem, params, samples)
    if not tree.leaves(specs):
        found = estimate(specs)
        return Moments(found, tree.zeros_like(found), (0.0, 0.0), 1)
    if estimator.breaks is not None:
        return _refined(estimate, rising(specs, PIECES, estimator.breaks(problem, params, samples)))
    own = is_discrete(q) and specs == q.noise_like((samples,))
    return _of_latents(estimate, q, samples) if own else _refined(estimate, rising(specs, SMOOTH))


def _of_latents(estimate: Callable[[Tree], Tree], q: Tree, samples: int) -> Moments:
    """Over all states, if two choices of the noise that gives them agree; else between the jumps of bits."""
    found, other = (moments(estimate, enumerate_states(q, samples, place)) for place in (0.5, 0.3))
    if _largest(changes(found[:2], other[:2])) <= AGREED:
        return found
    specs = q.noise_like((samples,))
    if isinstance(q, Bernoulli):
        return _refined(estimate, rising(specs, PIECES, zeros(q).T.expand(samples, -1, -1)))
    return _refined(estimate, rising(specs, SMOOTH))


def _refined(estimate: Callable[[Tree], Tree], rules: Iterator[Nodes]) -> Moments:
    """The moments by the first rule that agrees with the one before, or by the last.

    Raises:
        ValueError: the last two disagree.
    """
    found = moments(estimate, next(rules))
    for rule in rules:
        before, found = found, moments(estimate, rule)
        found = found._replace(errors=changes(before[:2], found[:2]))
        if _largest(found.errors) <= AGREED:
            return found
    change = _largest(found.errors)
    if not change <= TOLERATED:
        raise ValueError(
            f"with {found.nodes} nodes of noise its moments still change by {change:.1e}, and the exact tier takes "
            f"{LIMIT}: take fewer samples or latents, or sample"
        )
    return found


def _largest(errors: tuple[float, float]) -> float:
    """The largest, or not a number if one is none, which Python's `max` may pass over."""
    return float(torch.tensor(errors).max())
