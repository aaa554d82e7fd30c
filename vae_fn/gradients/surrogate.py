"""Estimators as derivatives of a surrogate whose cuts are arguments.

What is differentiated arrives twice: `live`, with respect to which the derivative is taken, and `held`, of the same
values, which the derivative does not see. So nothing is detached, and derivatives nest.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Distribution
from vae_fn.gradients.estimator import Estimator, Latents, stateless
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Info, Pulled, exact_part, log_joint, log_ratio, log_weights_of, vjp
from vae_fn.models.objectives import PerSample
from vae_fn.types import Params, Tree


def mean(log_weights: PerSample) -> Float[Tensor, "*b"]:
    """The mean over the samples: the average of the ELBO."""
    return log_weights.mean(0)


class Place(NamedTuple):
    """Where a surrogate is taken: the parameters, and q at them."""

    params: Params
    q: Distribution


class Seen(NamedTuple):
    """The objective's `value` `(*batch)` without its exact part, and what `Info` tells of the samples."""

    value: Float[Tensor, "*b"]
    f: PerSample
    log_weights: PerSample
    log_ratio: PerSample | tuple[()]


Surrogate = Callable[[Problem, Place, Place, Tree], tuple[Float[Tensor, "*b"], Seen]]
"""`surrogate(problem, live, held, noise)`: what is differentiated in `live`, one number per example, and what was seen.
"""


def weigh(
    problem: Problem, params: Params, z: Tree, log_q: PerSample, average: Callable[[PerSample], Tensor] = mean
) -> tuple[PerSample, Seen]:
    """The log joint at samples z, and what is seen of them; the objective is the average of their log-weights."""
    joint, (f, log_p) = log_joint(problem, params, z)
    log_weights = log_weights_of(joint, log_q, problem.beta)
    return joint, Seen(average(log_weights), f, log_weights, log_ratio(log_q, log_p))


def pull_held(
    problem: Problem,
    params: Params,
    draw: Callable[[Distribution], Tree],
    through_q: Callable[[Distribution, Distribution, Tree, Seen], Float[Tensor, "*b"]],
) -> Pulled:
    """The estimate in which samples are held: the mean of their joints is pulled, and q by a surrogate of its own.

    Args:
        problem: what is estimated.
        params: where.
        draw: z, `(k, *batch, *event)`, from q.
        through_q: `through_q(live, q, z, seen)`, whose derivative in `live` is q's gradient.
    """
    q, pull_q = vjp(problem.q, params)
    z = draw(q)
    log_q = q.log_prob(z)
    joint, pull_joint, seen = vjp(lambda params: weigh(problem, params, z, log_q), params, has_aux=True)
    (grads,) = pull_joint(torch.full_like(joint, 1 / len(joint)))
    total, pull_total = vjp(lambda live: through_q(live, q, z, seen), q)
    (q_grads,) = pull_total(torch.ones_like(total))
    return assemble(problem, params, q, pull_q, seen, grads, q_grads)


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
    name: str, surrogate: Surrogate, *, unbiased_for: str, latents: Latents, **settings: Any
) -> Estimator:
    """The stateless estimator whose gradient is that of a surrogate; the other settings are those of `stateless`."""
    return stateless(
        name,
        lambda problem, params, noise: differentiate(surrogate, problem, params, noise),
        unbiased_for=unbiased_for,
        latents=latents,
        **settings,
    )


def assemble(
    problem: Problem, params: Params, q: Distribution, pull_q: Callable, seen: Seen, grads: Params, q_grads: Tree
) -> Pulled:
    """The estimate from the gradient in the parameters at a held q, and that in q; the exact part is added."""
    exact = exact_part(problem, params, q)
    (through_q,) = pull_q(tree.add(q_grads, *exact.q_grads))
    value = sum(exact.value, start=seen.value)
    return Pulled(value, tree.add(grads, *exact.grads, through_q), Info(q, *seen[1:]))
