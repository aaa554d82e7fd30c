"""Samples have the law that torch.distributions says: distribution functions by coordinate, frequencies of events."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.distributions.families import DISCRETE, FACTORISED, Case, key_of, names, states
from vae_fn import random
from vae_fn.distributions import Bernoulli, Categorical, Distribution, MultivariateNormal, Normal
from vae_fn.types import Key
from vae_fn.verify import Rejected, law, mean_bounded

RESOLVE = 0.016
"""The distance of distribution functions that is seen; and of an even chance that of a frequency."""

CASE = Case(seed=12, batch=(2,), d=2)

Sampler = Callable[[Distribution, Tensor], Tensor]


def sample(q: Distribution, noise: Tensor) -> Tensor:
    return q.sample(noise)


def variance_for_scale(q: Distribution, noise: Tensor) -> Tensor:
    return type(q)(q[0], q[1] ** 2).sample(noise)


def of_uniform_noise(q: Distribution, noise: Tensor) -> Tensor:
    """Standardised, so that only the shape is wrong."""
    uniform = random.uniform(key_of("uniform noise"), tuple(noise.shape), noise.dtype)
    return q.sample((uniform - 0.5) * 12**0.5 * noise.std())


def of_one_noise_for_all_coordinates(q: Distribution, noise: Tensor) -> Tensor:
    return q.sample(noise[..., :1].expand(noise.shape))


def drawn(sampler: Sampler, q: Distribution) -> Callable[[Key, int], Tensor]:
    return lambda key, n: sampler(q, random.draw(key, q.noise_like((n,)), torch.float64))


def check_frequencies(draw: Callable[[Key, int], Tensor], chances: Tensor, name: str) -> None:
    """The draws, zeros and ones, have these probabilities."""
    mean_bounded(draw, chances, chances * (1 - chances), name=name, detect=2 * RESOLVE).check()


def check_coordinates(sampler: Sampler, family: type) -> None:
    """Each coordinate on its own, and (as a frequency) that coordinates exceed their medians independently."""
    q, name = CASE.make(family, "q"), f"{sampler.__name__} of {family.__name__}"
    draw = drawn(sampler, q)
    law(draw, q.to_torch().base_dist.cdf, name=name, resolve=RESOLVE).check()
    quarter = torch.full(CASE.batch, 0.25, dtype=torch.float64)
    check_frequencies(lambda key, n: (draw(key, n) > q.loc).all(-1).double(), quarter, name)


@pytest.mark.parametrize("family", FACTORISED, ids=names(FACTORISED))
def test_law_of_independent_coordinates(family: type) -> None:
    check_coordinates(sample, family)


@pytest.mark.parametrize("mutant", [variance_for_scale, of_uniform_noise, of_one_noise_for_all_coordinates])
@pytest.mark.parametrize("family", FACTORISED, ids=names(FACTORISED))
def test_wrong_coordinates_are_rejected(mutant: Sampler, family: type) -> None:
    with pytest.raises(Rejected):
        check_coordinates(mutant, family)


def check_projections(sampler: Sampler) -> None:
    """Every linear functional of a multivariate normal is normal with variance w L L^T w; here eight directions."""
    q = CASE.make(MultivariateNormal, "q")
    directions = CASE.tensor("directions", (2, 8))
    covariance = q.scale_tril @ q.scale_tril.mT
    deviation = torch.einsum("dk,bde,ek->bk", directions, covariance, directions).sqrt()
    draw, projected = drawn(sampler, q), torch.distributions.Normal(q.loc @ directions, deviation)
    name = f"{sampler.__name__} of the multivariate normal"
    law(lambda key, n: draw(key, n) @ directions, projected.cdf, name=name, resolve=RESOLVE).check()


def test_law_of_the_multivariate_normal() -> None:
    check_projections(sample)


def transposed(q: MultivariateNormal, noise: Tensor) -> Tensor:
    return MultivariateNormal(q.loc, q.scale_tril.mT).sample(noise)


def diagonal_only(q: MultivariateNormal, noise: Tensor) -> Tensor:
    return Normal(q.loc, q.scale_tril.diagonal(dim1=-2, dim2=-1)).sample(noise)


@pytest.mark.parametrize("mutant", [variance_for_scale, of_uniform_noise, transposed, diagonal_only])
def test_a_wrong_multivariate_normal_is_rejected(mutant: Sampler) -> None:
    with pytest.raises(Rejected):
        check_projections(mutant)


def check_states(sampler: Sampler, family: type) -> None:
    """The frequency of every state of the whole event, hence also that its variables are independent."""
    q = CASE.make(family, "q")
    support = states(q).unsqueeze(1)
    mass = q.to_torch().log_prob(support.expand(-1, *q.logits.shape)).exp()
    elsewhere = torch.zeros_like(mass[:1])

    def hits(key: Key, n: int) -> Tensor:
        values = drawn(sampler, q)(key, n)
        found = torch.stack([(values == state).flatten(2).all(-1).double() for state in support], 1)
        return torch.cat([found, 1 - found.sum(1, keepdim=True)], 1)

    check_frequencies(hits, torch.cat([mass, elsewhere]), f"{sampler.__name__} of {family.__name__}")


@pytest.mark.parametrize("family", DISCRETE, ids=names(DISCRETE))
def test_frequencies_of_discrete_states(family: type) -> None:
    check_states(sample, family)


def of_the_complement(q: Bernoulli, noise: Tensor) -> Tensor:
    return 1 - q.sample(noise)


def of_normal_noise(q: Distribution, noise: Tensor) -> Tensor:
    return q.sample(random.normal(key_of("normal noise"), tuple(noise.shape), noise.dtype))


def of_one_noise_for_all_variables(q: Categorical, noise: Tensor) -> Tensor:
    return q.sample(noise[..., :1, :].expand(noise.shape))


@pytest.mark.parametrize(
    ("mutant", "family"),
    [
        (of_the_complement, Bernoulli),
        (of_normal_noise, Bernoulli),
        (of_one_noise_for_all_coordinates, Bernoulli),
        (of_normal_noise, Categorical),
        (of_uniform_noise, Categorical),
        (of_one_noise_for_all_variables, Categorical),
    ],
)
def test_wrong_frequencies_are_rejected(mutant: Sampler, family: type) -> None:
    with pytest.raises(Rejected):
        check_states(mutant, family)
