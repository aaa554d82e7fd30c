"""The sampled divergence has the divergence as its mean, for every pair of families."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from torch import Tensor

from tests.distributions import quadrature
from tests.distributions.families import CLOSED, OPEN, Case, key_of, moderate, names
from vae_fn import random
from vae_fn.distributions import Distribution, Normal, kl, kl_monte_carlo
from vae_fn.distributions.kl import log_ratio
from vae_fn.types import Key, Tree
from vae_fn.verify import Biased, mean
from vae_fn.verify.strategies import statistical

DETECT = 0.05
"""In standard deviations of the log ratio."""

ALL = (*CLOSED, *OPEN)

Ratio = Callable[[Distribution, Distribution, Tensor], Tensor]
Pairs = dict[str, tuple[Distribution, Distribution]]


def check_sampled_kl(ratio: Ratio, pairs: Pairs, expected: Tree, name: str) -> None:
    """The mean log ratios of all pairs at once, each pair with noise of its own."""

    def draw(key: Key, n: int) -> Tree:
        noise = random.draw(key, {pair: q.noise_like((n,)) for pair, (q, _) in pairs.items()}, torch.float64)
        return {pair: ratio(q, p, noise[pair]) for pair, (q, p) in pairs.items()}

    mean(draw, expected, name=name, detect=DETECT).check()


def members(case: Case, families: tuple, batch: tuple[int, ...] | None = None) -> Pairs:
    made = [(case.make(q, "q"), case.make(p, "p", batch)) for q, p in families]
    return dict(zip(names(families), made, strict=True))


@statistical(5)
@given(case=moderate)
def test_mean_log_ratio_is_the_closed_form(case: Case) -> None:
    pairs = members(case, CLOSED)
    check_sampled_kl(log_ratio, pairs, {pair: kl(q, p) for pair, (q, p) in pairs.items()}, "log ratio, closed form")


@statistical(5)
@given(case=moderate)
def test_mean_log_ratio_is_the_integral(case: Case) -> None:
    pairs = members(case, ALL, batch=())
    exact = {pair: quadrature.kl(q, p) for pair, (q, p) in pairs.items()}
    check_sampled_kl(log_ratio, pairs, exact, "log ratio, quadrature")


MUTANTS: dict[str, Ratio] = {
    "negative": lambda q, p, noise: -log_ratio(q, p, noise),
    "entropy forgotten": lambda q, p, noise: -p.log_prob(q.sample(noise)),
    "a tenth too large": lambda q, p, noise: 1.1 * log_ratio(q, p, noise),
    "one noise for all": lambda q, p, noise: log_ratio(q, p, noise[:1]).expand(len(noise), -1),
}


@pytest.mark.parametrize("pair", ALL, ids=names(ALL))
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_log_ratio_is_rejected(mutant: str, pair: tuple[type, type]) -> None:
    pairs = members(Case(seed=8, shift=2.0), (pair,))
    exact = {name: quadrature.kl(q, p) for name, (q, p) in pairs.items()}
    with pytest.raises(Biased):
        check_sampled_kl(MUTANTS[mutant], pairs, exact, mutant)


def test_kl_monte_carlo_is_the_mean_of_the_log_ratio() -> None:
    q, p = (Case(seed=7).make(Normal, role) for role in "qp")
    noise = random.draw(key_of("kl_monte_carlo"), q.noise_like((5,)), torch.float64)
    by_hand = torch.stack([q.log_prob(q.sample(row)) - p.log_prob(q.sample(row)) for row in noise]).sum(0) / 5
    torch.testing.assert_close(kl_monte_carlo(q, p, noise), by_hand, rtol=1e-13, atol=1e-13)
