"""Means that come from rare events: not seen is neither right nor wrong, and a resolution counts them."""

import math

import pytest
import torch

from vae_fn import random
from vae_fn.verify import ledger, mean, mean_bounded
from vae_fn.verify.sampled import STAGES


def event(p, size=1.0):
    """`size` with probability p, else 0."""
    return lambda key, n: size * (random.uniform(key, (n,)).double() < p).double()


@pytest.mark.parametrize("p", [1e-6, 1e-5, 1e-4, 1e-3, 0.5])
def test_a_right_chance_is_never_called_wrong(p):
    for example in range(2):
        verdict = mean(event(p), p, name=f"rare {example}")
        assert verdict.status in ("passed", "inconclusive")


def test_what_never_varied_and_may_be_too_rare_is_inconclusive():
    verdict = mean(event(0.0), 1e-5, name="never")
    assert verdict.status == "inconclusive"
    assert "rarer events" in verdict.detail
    assert mean_bounded(event(0.0), 0.3, 0.21, name="never").status == "biased"


def test_what_never_varied_and_would_have_is_biased():
    verdict = mean(event(0.0), 0.02, name="never")
    assert (verdict.status, verdict.stage) == ("biased", STAGES)


def test_a_constant_resolves_what_events_of_size_one_could_hide():
    verdict = mean(event(0.0), 0.0, name="never")
    assert verdict.passed
    assert verdict.resolvable == pytest.approx(math.log(STAGES / 1e-3) / verdict.draws)


def test_a_resolution_counts_events_that_a_pilot_misses(monkeypatch):
    """One in five hundred: a pilot of a thousand draws sees none of them every seventh time."""
    monkeypatch.setattr(ledger, "ENTRIES", [])  # a pass would be a miss here, and no rejection a false alarm
    for example in range(40):
        name = f"missed {example}"
        assert not mean(event(2e-3), 0.0, name=name, resolve=1e-3).passed
    verdict = mean(event(0.0), 0.0, name="none", resolve=1e-3)
    assert verdict.passed
    assert verdict.resolvable <= 1e-3 + 1e-9


def test_a_box_that_ignores_its_key_is_refused():
    """The stages of such a box would be the same draws again, and four rejections one."""

    def fixed(key, n):
        return torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 1

    with pytest.raises(ValueError, match="must draw from the key"):
        mean(fixed, torch.zeros(3), name="fixed")

    def wide(key, n):
        rows = torch.randn(1024, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return rows.repeat(-(-n // 1024), 1)[:n].expand(n, 500)

    with pytest.raises(ValueError, match="must draw from the key"):
        mean_bounded(wide, torch.zeros(500), 1.0, name="wide")
    with pytest.raises(ValueError, match="must draw from the key"):
        mean(wide, torch.zeros(500), name="wide")


def test_equal_draws_of_few_values_are_chance():
    def coins(key, n):
        return (random.uniform(key, (n,)) < 1e-4).double() + 0.5

    assert mean(coins, torch.tensor(0.0), name="coins").status == "biased"
