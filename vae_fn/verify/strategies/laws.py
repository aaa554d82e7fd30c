"""Distributions of every family, pairs of them, and values in their support."""

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, Categorical, Family, Laplace, Logistic, MultivariateNormal, Normal
from vae_fn.types import Shape
from vae_fn.verify.strategies.building import built
from vae_fn.verify.strategies.tensors import seeds

FAMILIES: tuple[type, ...] = (Normal, Laplace, Logistic, MultivariateNormal, Bernoulli, Categorical)

BATCHES: tuple[Shape, ...] = ((), (3,), (1,), (2, 2))

SHIFTS = (1.0, 0.0, 8.0)
"""Sizes of locations."""

SCALES = (1.0, 1e-6, 1e-2, 10.0, 1e3)
"""Sizes of scales, and of logits."""

CLASSES = 3

Pair = tuple[Family, Family]


def member(
    family: type,
    seed: int,
    batch: Shape = (),
    d: int = 2,
    shift: float = 1.0,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Family:
    """A member of a family: locations of the size of `shift`, scales about `scale`, logits of the size of `scale`.

    A categorical has `d` variables of three classes. Locations, scales and logits are normal draws from the seed, the
    scales by exp of half of them.
    """
    loc, spread = (random.normal(random.fold_in(random.key(seed), i), (*batch, d)).double() for i in range(2))
    scales, below = scale * torch.exp(0.5 * spread), random.normal(random.fold_in(random.key(seed), 2), (*batch, d, d))
    if family is Bernoulli:
        made = Bernoulli(scale * loc)
    elif family is Categorical:
        made = Categorical(scale * random.normal(random.fold_in(random.key(seed), 3), (*batch, d, CLASSES)).double())
    elif family is MultivariateNormal:
        lower = 0.5 * below.double().tril(-1) + torch.eye(d, dtype=torch.float64)
        made = MultivariateNormal(shift * loc, scales.unsqueeze(-1) * lower)
    else:
        made = family(shift * loc, scales)
    return tree.map(lambda leaf: leaf.to(dtype), made)


def distributions(
    families: Sequence[type] = FAMILIES,
    *,
    batches: Sequence[Shape] = BATCHES,
    max_d: int = 3,
    shifts: Sequence[float] = SHIFTS,
    scales: Sequence[float] = SCALES,
    dtypes: Sequence[torch.dtype] = (torch.float64, torch.float32),
) -> SearchStrategy[Family]:
    """Distributions of any of these families, batch shapes, dimensions, sizes and dtypes; see `member`."""
    return built(
        member,
        st.sampled_from(list(families)),
        seed=seeds(),
        batch=st.sampled_from(list(batches)),
        d=st.integers(1, max_d),
        shift=st.sampled_from(list(shifts)),
        scale=st.sampled_from(list(scales)),
        dtype=st.sampled_from(list(dtypes)),
    )


def pair(families: tuple[type, type], seed: int, batch: Shape = (), shared: bool = False, **sizes: Any) -> Pair:
    """Members of two families over the same events; a `shared` second one has no batch. See `member` for the rest."""
    one, other = families
    return member(one, seed, batch, **sizes), member(other, seed + 1, () if shared else batch, **sizes)


def pairs(
    families: Sequence[tuple[type, type]],
    *,
    batches: Sequence[Shape] = BATCHES,
    max_d: int = 3,
    shifts: Sequence[float] = SHIFTS,
    scales: Sequence[float] = (1.0, 0.1, 10.0),
    dtype: torch.dtype = torch.float64,
) -> SearchStrategy[Pair]:
    """Pairs (q, p) of any of these pairs of families: what a divergence takes."""
    return built(
        pair,
        st.sampled_from(list(families)),
        seed=seeds(),
        batch=st.sampled_from(list(batches)),
        shared=st.booleans(),
        d=st.integers(1, max_d),
        shift=st.sampled_from(list(shifts)),
        scale=st.sampled_from(list(scales)),
        dtype=st.just(dtype),
    )


def values(law: Family, seed: int, front: Shape = ()) -> Tensor:
    """Draws `(*front, *batch, *event)` of a distribution, from a seed."""
    return law.sample(random.draw(random.key(seed), law.noise_like(front)).to(law.mean.dtype)).detach()


def targets(likelihood: Family, front: Shape | SearchStrategy[Shape] = ()) -> SearchStrategy[Tensor]:
    """Values in the support of a likelihood, `(*front, *batch, *event)` in its dtype: bits, one-hots, or numbers."""
    fronts = front if isinstance(front, SearchStrategy) else st.just(front)
    return built(values, st.just(likelihood), seed=seeds(), front=fronts)
