"""Estimators as derivatives of a surrogate whose cuts are arguments.

What is differentiated arrives twice: `live`, with respect to which the derivative is taken, and `held`, of the same
values, which the derivative does not see. So nothing is detached, and derivatives nest.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Distribution
from vae_fn.gradients.estimator import (
    Estimate,
    Estimator,
    Evaluations,
    Latents,
    check_latents,
    check_samples,
    once_each,
)
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Info, Pulled, exact_part, vjp
from vae_fn.models.objectives import PerSample
from vae_fn.types import Params, Tree


class Place(NamedTuple):
    """Where a surrogate is taken: the parameters, and q at them."""

    params: Params
    q: Distribution


class Seen(NamedTuple):
    """The objective's `value` `(*batch)` without its exact part; f and log-weights of the samples `(k, *batch)`."""

    value: Float[Tensor, "*b"]
    f: PerSample
    log_weights: PerSample


Surrogate = Callable[[Problem, Place, Place, Tree], tuple[Float[Tensor, "*b"], Seen]]
"""`surrogate(problem, live, held, noise)`: what is differentiated in `live`, one number per example, and what was seen.
"""


def differentiate(surrogate: Surrogate, problem: Problem, params: Params, noise: Tree) -> Pulled:
    """The estimate whose gradient is the surrogate's; q runs once."""
    q, pull_q = vjp(problem.q, params)
    held = Place(params, q)
    total, pull, seen = vjp(
        lambda params, q: surrogate(problem, Place(params, q), held, noise), params, q, has_aux=True
    )
    grads, q_grads = pull(torch.ones_like(total))
    return assemble(problem, params, q, pull_q, seen, grads, q_grads)


def from_surrogate(
    name: str,
    surrogate: Surrogate,
    *,
    unbiased_for: str,
    latents: Latents,
    noise_like: Callable[[Distribution, int], Tree] = lambda q, samples: q.noise_like((samples,)),
    evaluations: Callable[[Distribution, int], Evaluations] = once_each,
    breaks: Callable[[Distribution, int], Tree] | None = None,
    min_samples: int = 1,
    importance_weighted: bool = False,
    q_follows: str | None = None,
    check: Callable[[Problem], None] = lambda problem: None,
) -> Estimator:
    """The stateless estimator whose gradient is that of a surrogate.

    `noise_like(q, samples)` and `breaks(q, samples)` are the estimator's, as functions of q; `check` is that of
    `from_coefficients`.

    Raises:
        ValueError: as from `from_coefficients`.
    """

    def init(problem: Problem, params: Params) -> Tree:
        check(problem)
        return ()

    def specs(problem: Problem, params: Params, samples: int) -> Tree:
        check_samples(name, samples, min_samples)
        q = tree.shapes_of(problem.q, params)
        check_latents(name, latents, q)
        return noise_like(q, samples)

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        check(problem)
        pulled = differentiate(surrogate, problem, params, noise)
        return Estimate(pulled.value, pulled.grads, state, pulled.info)

    return Estimator(
        name,
        unbiased_for,
        latents,
        min_samples,
        importance_weighted,
        evaluations,
        init,
        specs,
        estimate,
        q_follows=q_follows,
        breaks=None if breaks is None else lambda problem, params, samples: breaks(problem.q(params), samples),
    )


def assemble(
    problem: Problem, params: Params, q: Distribution, pull_q: Callable, seen: Seen, grads: Params, q_grads: Tree
) -> Pulled:
    """The estimate from the gradient in the parameters at a held q, and that in q; the exact part is added."""
    exact = exact_part(problem, params, q)
    (through_q,) = pull_q(tree.add(q_grads, *exact.q_grads))
    value = sum(exact.value, start=seen.value)
    return Pulled(value, tree.add(grads, *exact.grads, through_q), Info(q, seen.f, seen.log_weights))
