"""Measure-valued gradients: differences of F between two laws, one coordinate at a time (Mohamed et al. 2020, sec. 6).

The derivative of a density in a parameter is, up to a constant, a difference of two densities. With the other
coordinates held at a sample of q and F = f + beta (log p - log q), for a normal coordinate of location m and scale s

    d/dm E F = E[ F(m + s W) - F(m - s W) ] / (s sqrt(2 pi)),    W ~ Rayleigh,
    d/ds E F = E[ F(m + s M) - F(m + s N) ] / s,                 M ~ two-sided Maxwell, N ~ N(0, 1),

and d/dp E F = F(1) - F(0) for a bit of probability p. W is shared by both terms, and N = M U with U uniform: such
couplings change the variance alone. N is the noise of the sample itself, and one of the two bits is the sample's, so
that a sample costs 1 + 3 d evaluations of F for d normal latents and 1 + d for bits. F needs no derivative in z.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, func

from vae_fn import random
from vae_fn.distributions import Bernoulli, Distribution, Normal
from vae_fn.gradients.estimator import Estimator, Evaluations, stateless
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import assemble, weigh
from vae_fn.gradients.wires import Pulled, vjp
from vae_fn.models.objectives import PerSample
from vae_fn.random import Noise
from vae_fn.types import Params, Tree

Slopes = tuple[Float[Tensor, "k *b d"], ...]
"""Estimates of the derivative in each parameter of a coordinate, by sample."""

Objective = Callable[[Tensor, Tensor], Tensor]
"""F at values `(d, k, *batch, d)` with their log q `(d, k, *batch)`, of that shape."""


class Decomposition(NamedTuple):
    """How the derivatives of a family are differences.

    Attributes:
        parameters: of a coordinate, in which they are taken.
        noise_like: the noise of K samples and of what they are compared with.
        own: the samples' own part of it.
        slopes: `slopes(objective, q, noise, value)`, value being F at the samples.
        per_latent: evaluations of F for each coordinate of a sample.
    """

    parameters: Callable[[Any], tuple[Tensor, ...]]
    noise_like: Callable[[Any, int], Tree]
    own: Callable[[Tree], Tensor]
    slopes: Callable[[Objective, Any, Tree, PerSample], Slopes]
    per_latent: int


def measure_valued() -> Estimator:
    """The measure-valued gradient for one layer of normal or Bernoulli latents (Mohamed et al. 2020, table 1)."""
    return by_differences("measure-valued", DECOMPOSITIONS)


def by_differences(name: str, decompositions: Mapping[type, Decomposition]) -> Estimator:
    """The estimator for families with these decompositions.

    Raises:
        ValueError: from `noise_like` and `estimate`, for latents of another family.
    """

    def of(q: Distribution) -> Decomposition:
        if type(q) not in decompositions:
            known = " and ".join(family.__name__ for family in decompositions)
            raise ValueError(
                f"{name} knows the derivatives of {known} in one layer, and not of {type(q).__name__}: use rloo"
            )
        return decompositions[type(q)]

    def evaluations(q: Distribution, samples: int) -> Evaluations:
        latents = of(q).parameters(q)[0].shape[-1]
        return Evaluations(samples * (1 + of(q).per_latent * latents), samples)

    return stateless(
        name,
        lambda problem, params, noise: pull_differences(problem, params, noise, of),
        unbiased_for="the ELBO",
        latents="any",
        noise_like=lambda q, samples: of(q).noise_like(q, samples),
        evaluations=evaluations,
    )


def pull_differences(
    problem: Problem, params: Params, noise: Tree, of: Callable[[Distribution], Decomposition]
) -> Pulled:
    """Value and gradient of the ELBO: what is not q by the samples' joints, q by differences."""
    q, pull_q = vjp(problem.q, params)
    family = of(q)
    own = family.own(noise)
    z = q.sample(own)
    log_q = q.log_prob_from_noise(own, z)
    joint, pull_joint, seen = vjp(lambda params: weigh(problem, params, z, log_q), params, has_aux=True)
    (grads,) = pull_joint(torch.full_like(joint, 1 / len(joint)))

    def objective(z: Tensor, log_q: Tensor) -> Tensor:
        _, seen = weigh(problem, params, z.flatten(0, 1), log_q.flatten(0, 1))
        return seen.log_weights.unflatten(0, z.shape[:2])

    slopes = family.slopes(objective, q, noise, seen.log_weights)

    def along(live: Distribution) -> Tensor:
        first, *rest = ((slope * leaf).sum() for slope, leaf in zip(slopes, family.parameters(live), strict=True))
        return sum(rest, start=first) / len(joint)

    return assemble(problem, params, q, pull_q, seen, grads, func.grad(along)(q))


def normal_slopes(objective: Objective, q: Normal, noise: Tree, value: PerSample) -> Slopes:
    """In loc and scale: a Rayleigh pair, and the Maxwell value against the sample."""
    own = normal_noise(noise)

    def moved(other: Tensor) -> Tensor:
        replaced = one_by_one(own, other)
        z = q.sample(replaced)
        return objective(z, q.log_prob_from_noise(replaced, z)).movedim(0, -1)

    by_loc = moved(noise["rayleigh"]) - moved(-noise["rayleigh"])
    by_scale = moved(noise["maxwell"]) - value.unsqueeze(-1)
    return by_loc / (math.sqrt(2 * math.pi) * q.scale), by_scale / q.scale


def bit_slopes(objective: Objective, q: Bernoulli, noise: Tree, value: PerSample) -> Slopes:
    """In the probability of a one: the sample against the one with the bit flipped, F(1) - F(0)."""
    bits = q.sample(noise)
    flipped = one_by_one(bits, 1 - bits)
    other = objective(flipped, q.log_prob(flipped)).movedim(0, -1)
    return ((2 * bits - 1) * (value.unsqueeze(-1) - other),)


def one_by_one(own: Float[Tensor, "*s d"], other: Float[Tensor, "*s d"]) -> Float[Tensor, "d *s d"]:
    """Copies of which number i has coordinate i from `other`, and the rest its own."""
    count = own.shape[-1]
    here = torch.eye(count, dtype=torch.bool, device=own.device)
    return torch.where(here.reshape(count, *(1,) * (own.ndim - 1), count), other, own)


def normal_noise_like(q: Normal, samples: int) -> Tree:
    """W, M and U for every coordinate of every sample."""
    shape = q.noise_like((samples,)).shape
    laws = {"rayleigh": random.rayleigh, "maxwell": random.maxwell, "uniform": random.uniform}
    return {name: Noise(law, shape) for name, law in laws.items()}


def normal_noise(noise: Tree) -> Tensor:
    """N = M U, standard normal."""
    return noise["maxwell"] * noise["uniform"]


DECOMPOSITIONS: Mapping[type, Decomposition] = {
    Normal: Decomposition(lambda q: (q.loc, q.scale), normal_noise_like, normal_noise, normal_slopes, 3),
    Bernoulli: Decomposition(
        lambda q: (q.mean,), lambda q, samples: q.noise_like((samples,)), lambda noise: noise, bit_slopes, 1
    ),
}
"""By family of q."""
