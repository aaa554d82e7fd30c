"""Draws of wrong laws, some with the right mean and variance."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import random
from vae_fn.types import Key
from vae_fn.verify.distribution_functions import law
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.sampled import mean
from vae_fn.verify.verdict import Verdict

Sampler = Callable[[Key, int], Tensor]
Cdf = Callable[[Tensor], Tensor]


def _normal(key: Key, count: int) -> Tensor:
    return random.normal(key, (count,))


def _uniform(key: Key, count: int) -> Tensor:
    return random.uniform(key, (count,))


def _wrong(what: str, wrong: Sampler, right: Sampler, cdf: Cdf, blind: Callable[[], Verdict] | None = None) -> Mutant:
    return Mutant(
        what,
        "law",
        "",
        wrong=lambda: law(wrong, cdf, name=what),
        right=lambda: law(right, cdf, name="right"),
        blind=blind,
    )


def _flat(key: Key, count: int) -> Tensor:
    """Uniform with mean 0 and variance 1."""
    return math.sqrt(12) * (_uniform(key, count) - 0.5)


def _coin(chance: float) -> Sampler:
    return lambda key, count: (_uniform(key, count) < chance).double()


def _moments_of_flat() -> Verdict:
    """Mean and variance are those of a normal."""

    def draw(key: Key, count: int) -> Tensor:
        x = _flat(key, count)
        return torch.stack([x, x**2], -1)

    return mean(draw, torch.tensor([0.0, 1.0]), name="moments of a uniform of variance 1")


MUTANTS: tuple[Mutant, ...] = (
    _wrong("uniform of a normal's variance", _flat, _normal, torch.special.ndtr, _moments_of_flat),
    _wrong("normal 5 % too wide", lambda key, n: 1.05 * _normal(key, n), _normal, torch.special.ndtr),
    _wrong("one sign only", lambda key, n: _normal(key, n).abs(), _normal, torch.special.ndtr),
    _wrong("a coin of another chance", _coin(0.33), _coin(0.3), lambda x: 0.7 * (x >= 0) + 0.3 * (x >= 1)),
    _wrong("uniform in 64 steps", lambda key, n: (64 * _uniform(key, n)).floor() / 64, _uniform, lambda x: x),
)
