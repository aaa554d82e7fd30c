"""The three-wires engine: one forward and one backward pass for every estimator that is three coefficients.

Parameters reach a log-weight `log w = f(z) + beta log p(z) - beta log q(z)` along three wires: the *joint* (f and log p
at a held z), the *path* (z as a function of q's parameters) and the *density* (log q at a held z). An estimator says
how much of each to pull, per sample; the cuts between the wires are separate arguments, so that nothing is detached.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, func

from vae_fn import tree
from vae_fn.distributions import Distribution
from vae_fn.gradients.problem import Problem
from vae_fn.models.objectives import PerSample
from vae_fn.types import Params, Tree

vjp: Callable[..., Any] = func.vjp
"""As it is: its own annotation is a union over `has_aux`, which no unpacking satisfies."""


class Coefficients(NamedTuple):
    """An estimator at given log-weights: the value it reports and how much of each wire it pulls.

    The gradient is sum_k [ joint_k d(f + beta log p)(z_k) + joint_k path_k dlog w/dz_k dz_k + density_k dlog q(z_k) ].
    """

    value: Float[Tensor, "*b"]
    joint: PerSample
    path: PerSample
    density: PerSample


class Info(NamedTuple):
    """What an estimator saw on its way, for logs and diagnostics.

    Attributes:
        posterior: q.
        f: at the samples.
        log_weights: f + beta (log p - log q) there.
        log_ratio: log q - log p there; () where the problem has no prior (its KL is exact, or it is a plain cost).
    """

    posterior: Distribution
    f: PerSample
    log_weights: PerSample
    log_ratio: PerSample | tuple[()]


class Pulled(NamedTuple):
    """Value `(*batch)` of the objective, and the gradient of its sum over the batch."""

    value: Float[Tensor, "*b"]
    grads: Params
    info: Info


class ExactPart(NamedTuple):
    """What is not sampled: its value `(*batch)`, the gradient in the parameters at a held q, and that in q.

    One of each, or none.
    """

    value: list[Tensor]
    grads: list[Params]
    q_grads: list[Distribution]


Rule = Callable[[PerSample, float | Tensor], Coefficients]
"""`rule(log_weights, beta)`: an estimator as a function of the log-weights."""


def pull(problem: Problem, params: Params, noise: Tree, rule: Rule) -> Pulled:
    """The estimate of value and gradient at this noise, `(k, *batch, *event)`.

    f and q are each evaluated once and differentiated once.

    Raises:
        ValueError: as `log_weights_of` and `coefficients_of`.
    """
    q, pull_q = vjp(problem.q, params)
    z, pull_path = vjp(lambda q: q.sample(noise), q)
    log_q, pull_density = vjp(lambda q: q.log_prob_from_noise(noise, z), q)
    joint, pull_joint, (f, log_p) = vjp(lambda params, z: log_joint(problem, params, z), params, z, has_aux=True)
    log_weights = log_weights_of(joint, log_q, problem.beta)
    value, joint_weight, path_weight, density_weight = coefficients_of(rule, log_weights, problem.beta)

    grads, joint_z = pull_joint(joint_weight)
    _, pull_entropy = vjp(lambda z: q.log_prob_from_noise(noise, z), z)
    (entropy_z,) = pull_entropy(-problem.beta * joint_weight)
    along_path = tree.map(lambda g, n: g * _over_event(path_weight, n), tree.add(joint_z, entropy_z), q.event_ndim)
    (q_by_path,), (q_by_density,) = pull_path(along_path), pull_density(density_weight)
    exact = exact_part(problem, params, q)
    (encoder_grads,) = pull_q(tree.add(q_by_path, q_by_density, *exact.q_grads))
    grads = tree.add(grads, *exact.grads, encoder_grads)
    info = Info(q, f, log_weights, log_ratio(log_q, log_p))
    return Pulled(sum(exact.value, start=value), grads, info)


def log_joint(problem: Problem, params: Params, z: Tree) -> tuple[PerSample, tuple[PerSample, PerSample | tuple[()]]]:
    """The log joint f + beta log p at z; f and log p alone, the latter () where there is no prior."""
    f = problem.f(params, z)
    if problem.p is None:
        return f, (f, ())
    log_p = problem.p(params).log_prob(z)
    return f + problem.beta * log_p, (f, log_p)


def log_weights_of(joint: Float[Tensor, "..."], log_q: PerSample, beta: float | Tensor) -> PerSample:
    """The log-weights: the log joint less beta log q.

    Raises:
        ValueError: the joint is not one number for each sample of each example, which would broadcast.
    """
    if joint.shape != log_q.shape:
        raise ValueError(
            f"f and log p give {tuple(joint.shape)} where log q is {tuple(log_q.shape)}: a problem's f returns one "
            "number for each sample of each example, summed over the event"
        )
    return joint - beta * log_q


def coefficients_of(rule: Rule, log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """What a rule makes of log-weights `(k, *batch)`.

    Raises:
        ValueError: it is no `Coefficients`, or has a part that is no tensor of its shape, which would broadcast.
    """
    found, every, batch = rule(log_weights, beta), tuple(log_weights.shape), tuple(log_weights.shape[1:])
    whole = isinstance(found, Coefficients)
    parts = [tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in found] if whole else []
    if parts != [batch, every, every, every]:
        given = f"of {', '.join(map(str, parts))}" if whole else type(found).__name__
        raise ValueError(
            f"the rule {getattr(rule, '__name__', rule)} must return Coefficients(value, joint, path, density) of "
            f"shape {batch} for the value and {every} for each of the others, not {given}"
        )
    return found


def log_ratio(log_q: PerSample, log_p: PerSample | tuple[()]) -> PerSample | tuple[()]:
    """The log ratio log q - log p, whose mean is the KL; () where there is no prior."""
    return log_q - log_p if isinstance(log_p, Tensor) else ()


def exact_part(problem: Problem, params: Params, q: Distribution) -> ExactPart:
    """What is not sampled, and its gradients."""
    if problem.exact is None:
        return ExactPart([], [], [])
    exact, pull_exact = vjp(problem.exact, params, q)
    grads, q_grads = pull_exact(torch.ones_like(exact))
    return ExactPart([exact], [grads], [q_grads])


def _over_event(weight: PerSample, event_ndim: int) -> Tensor:
    return weight.reshape(*weight.shape, *(1,) * event_ndim)
