"""Wrong gradients on the five-parameter VAE, as black boxes: each differs from a right one by a coefficient or a term.

The registry of `vae_fn.verify.mutants` pairs mutants with the check that must reject them; here each meets every tier.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from calibration_draws import DATA, Gradient, Pose, gradient_of
from torch import Tensor

from vae_fn import random
from vae_fn.distributions import Normal, kl
from vae_fn.gradients import Coefficients, Problem, elbo_problem, elbo_sampled_problem, from_coefficients
from vae_fn.gradients.estimators.importance import dreg_rule, iwae_rule
from vae_fn.gradients.estimators.single import pathwise_rule, rloo_rule, sticking_the_landing_rule
from vae_fn.gradients.wires import Rule
from vae_fn.models import VAE
from vae_fn.models.priors import standard_normal
from vae_fn.types import Key


class Case(NamedTuple):
    """A wrong gradient beside the right one, at K samples; `law` of the noise that it is drawn with."""

    name: str
    wrong: Gradient
    right: Gradient
    samples: int
    law: Callable[..., Tensor] = random.normal


def of_rule(rule: Rule, pose: Pose = elbo_sampled_problem) -> Gradient:
    """The gradient that a rule of coefficients gives."""
    return gradient_of(from_coefficients("rule", rule, unbiased_for="", latents="any"), pose)


def changed(rule: Rule, **parts: Callable[[Coefficients, Tensor], Tensor]) -> Rule:
    """A rule with coefficients replaced by `part(found, log_weights)`."""

    def mutant(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
        found = rule(log_weights, beta)
        return found._replace(**{name: part(found, log_weights) for name, part in parts.items()})

    return mutant


def posed(change: Callable[[Problem, VAE, Tensor], Problem], pose: Pose = elbo_problem) -> Pose:
    """Another problem than the one whose gradient is known."""
    return lambda vae, x: change(pose(vae, x), vae, x)


# --- wrong ELBOs, by the pathwise gradient with the KL in closed form


def with_kl(wrong: Callable[[Normal, Normal], Tensor]) -> Gradient:
    """Another KL(q || p)."""

    def change(problem: Problem, vae: VAE, x: Tensor) -> Problem:
        return problem._replace(exact=lambda params, q: -wrong(q, standard_normal(1, like=params["encoder"])))

    return of_rule(pathwise_rule, posed(change))


def scaled(q: Normal, change: Callable[[Tensor], Tensor]) -> Normal:
    return q._replace(scale=change(q.scale))


def with_q(change: Callable[[Tensor], Tensor], samples_alone: bool = False) -> Gradient:
    """Another scale of q: everywhere, or for its samples alone."""

    def changed_problem(problem: Problem, vae: VAE, x: Tensor) -> Problem:
        old, exact = problem.q, problem.exact
        new: dict[str, Any] = {"q": lambda params: scaled(old(params), change)}
        if samples_alone:
            new["exact"] = lambda params, _: exact(params, old(params))
        return problem._replace(**new)

    return of_rule(pathwise_rule, posed(changed_problem))


def swapped_targets() -> Gradient:
    def change(problem: Problem, vae: VAE, x: Tensor) -> Problem:
        return problem._replace(f=lambda params, z: vae.likelihood(params, z, None).log_prob(1 - x))

    return of_rule(pathwise_rule, posed(change))


def with_beta(beta: float) -> Gradient:
    return of_rule(pathwise_rule, lambda vae, x: elbo_sampled_problem(vae, x, beta=beta))


def on_noise(gradient: Gradient, change: Callable[[Tensor], Tensor]) -> Gradient:
    return lambda x, noise: gradient(x, change(noise))


def times(gradient: Gradient, factor: Callable[[Tensor], float]) -> Gradient:
    return lambda x, noise: factor(x) * gradient(x, noise)


def elbo_cases() -> list[Case]:
    right = of_rule(pathwise_rule, elbo_problem)
    wrong = {
        "KL: sign": with_kl(lambda q, p: -kl(q, p)),
        "KL: twice": with_kl(lambda q, p: 2 * kl(q, p)),
        "KL: a scale read as a variance": with_kl(lambda q, p: kl(scaled(q, torch.sqrt), p)),
        "KL: log s for log s²": with_kl(lambda q, p: kl(q, p) + 0.5 * q.scale.log().sum(-1)),
        "z = m + s² e": with_q(torch.square, samples_alone=True),
        "z = m + √s e": with_q(torch.sqrt, samples_alone=True),
        "sum over the batch for its mean": times(right, len),
        "exp for softplus": with_q(torch.expm1),
        "floor 1e-2 for 1e-8": with_q(lambda scale: scale + 1e-2),
        "targets swapped": swapped_targets(),
        "z held": of_rule(changed(pathwise_rule, path=lambda c, w: 0 * w), elbo_problem),
        "one noise for the whole batch": on_noise(right, lambda e: e[:, :1].expand_as(e)),
    }
    betas = [Case(f"beta {beta:g}", with_beta(beta), of_rule(pathwise_rule), 1) for beta in (1.05, 1.01, 1.002)]
    return [*(Case(name, gradient, right, 1) for name, gradient in wrong.items()), *betas]


# --- wrong estimators


def score_cases() -> list[Case]:
    right, rule = of_rule(rloo_rule), rloo_rule
    centred: Callable[[Tensor], Tensor] = lambda w: w - w.mean(0)  # noqa: E731
    return [
        Case("score: z left attached", of_rule(changed(rule, path=lambda c, w: torch.ones_like(w))), right, 2),
        Case("score: log q held", of_rule(changed(rule, density=lambda c, w: 0 * w)), right, 2),
        Case(
            "score: baseline includes its own sample, K = 4",
            of_rule(changed(rule, density=lambda c, w: (centred(w) - 1) / len(w))),
            right,
            4,
        ),
        Case(
            "score: divided by 1 + its variance",
            of_rule(changed(rule, density=lambda c, w: centred(w) / (1 + w.var(0)) / (len(w) - 1) - 1 / len(w))),
            right,
            2,
        ),
        Case("score: uniform noise of equal variance", right, right, 2, uniform),
    ]


def uniform(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform noise of variance 1: a sampler's fault, which no function of the noise shows."""
    return math.sqrt(12) * (random.uniform(key, shape, dtype) - 0.5)


def bound_cases() -> list[Case]:
    iwae, dreg = of_rule(iwae_rule), of_rule(dreg_rule)
    total = of_rule(pathwise_rule)

    def share(w: Tensor) -> Tensor:
        return torch.softmax(w, 0)

    def live(c: Coefficients, w: Tensor) -> Tensor:
        return share(w) + 2 * share(w) * w - 2 * (share(w) ** 2 * w).sum(0)

    return [
        Case("IWAE: mean of logarithms", total, iwae, 2),
        Case("IWAE: one noise for all samples", on_noise(iwae, lambda e: e[:1].expand_as(e)), iwae, 2),
        Case("IWAE: density dropped (STL)", of_rule(changed(iwae_rule, density=lambda c, w: 0 * w)), iwae, 2),
        Case("IWAE: 1/K missing in the value", iwae, iwae, 2),
        Case("DReG: weights not squared", of_rule(changed(dreg_rule, path=lambda c, w: torch.ones_like(w))), dreg, 2),
        Case("DReG: q live in log w", of_rule(changed(dreg_rule, density=lambda c, w: -(share(w) ** 2))), dreg, 2),
        Case("DReG: weights live", of_rule(changed(dreg_rule, path=live)), dreg, 2),
        Case(
            "DReG: decoder squared too",
            of_rule(changed(dreg_rule, joint=lambda c, w: share(w) ** 2, path=lambda c, w: torch.ones_like(w))),
            dreg,
            2,
        ),
        Case("STL: q live in log q", total, of_rule(sticking_the_landing_rule), 1),
    ]


def cases() -> list[Case]:
    """All of them."""
    return [*elbo_cases(), *score_cases(), *bound_cases()]


def noise_of(case: Case, data: Tensor = DATA) -> random.Noise:
    """What a case is drawn with."""
    return random.Noise(case.law, (case.samples, len(data), 1))
