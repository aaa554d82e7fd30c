"""The sampled divergence has the divergence as its mean, for every pair of families."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import Phase, given, settings
from torch import Tensor

from tests.distributions import quadrature
from tests.distributions.families import CLOSED, OPEN, Case, key_of, moderate, names
from tests.distributions.statistics import check_mean
from vae_fn import random
from vae_fn.distributions import Distribution, Normal, kl, kl_monte_carlo
from vae_fn.distributions.kl import log_ratio

DRAWS = 20_000
ALL = (*CLOSED, *OPEN)

Ratio = Callable[[Distribution, Distribution, Tensor], Tensor]

statistical = settings(max_examples=5, phases=(Phase.explicit, Phase.generate))


def check_sampled_kl(ratio: Ratio, q: Distribution, p: Distribution, expected: Tensor, *what: object) -> None:
    """False alarms: 1e-9."""

    def draw(key: random.Key) -> Tensor:
        return ratio(q, p, random.draw(key, q.noise_like((DRAWS,)), torch.float64))

    check_mean(draw, expected, *what)


@pytest.mark.parametrize("pair", CLOSED, ids=names(CLOSED))
@statistical
@given(case=moderate)
def test_mean_log_ratio_is_the_closed_form(pair: tuple[type, type], case: Case) -> None:
    q, p = case.make(pair[0], "q"), case.make(pair[1], "p")
    check_sampled_kl(log_ratio, q, p, kl(q, p), "log ratio, closed form", pair, case)


@pytest.mark.parametrize("pair", OPEN, ids=names(OPEN))
@statistical
@given(case=moderate)
def test_mean_log_ratio_is_the_integral(pair: tuple[type, type], case: Case) -> None:
    q, p = case.make(pair[0], "q"), case.make(pair[1], "p", batch=())
    check_sampled_kl(log_ratio, q, p, quadrature.kl(q, p), "log ratio, quadrature", pair, case)


MUTANTS: dict[str, Ratio] = {
    "negative": lambda q, p, noise: -log_ratio(q, p, noise),
    "entropy forgotten": lambda q, p, noise: -p.log_prob(q.sample(noise)),
    "a tenth too large": lambda q, p, noise: 1.1 * log_ratio(q, p, noise),
    "one noise for all": lambda q, p, noise: log_ratio(q, p, noise[:1]).expand(len(noise), -1),
}


@pytest.mark.parametrize("pair", ALL, ids=names(ALL))
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_wrong_log_ratio_is_rejected(mutant: Ratio, pair: tuple[type, type]) -> None:
    case = Case(seed=8, shift=2.0)
    q, p = case.make(pair[0], "q"), case.make(pair[1], "p")
    with pytest.raises(AssertionError):
        check_sampled_kl(mutant, q, p, quadrature.kl(q, p), "mutant", pair, case)


def test_kl_monte_carlo_is_the_mean_of_the_log_ratio() -> None:
    q, p = (Case(seed=7).make(Normal, role) for role in "qp")
    noise = random.draw(key_of("kl_monte_carlo"), q.noise_like((5,)), torch.float64)
    by_hand = torch.stack([q.log_prob(q.sample(row)) - p.log_prob(q.sample(row)) for row in noise]).sum(0) / 5
    torch.testing.assert_close(kl_monte_carlo(q, p, noise), by_hand, rtol=1e-13, atol=1e-13)
