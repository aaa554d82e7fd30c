"""Means of black boxes: right ones pass, wrong ones are caught and located, heavy tails are not judged."""

import dataclasses
import math

import pytest
import scipy.stats
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.verify.boxes import counting, normal_box
from vae_fn import random, tree
from vae_fn.verify import ledger, mean, seeds
from vae_fn.verify.sampled import HEAVY, MARGIN, SPARE, STAGES, plan

TREE = {"a": torch.tensor([[1.0, -2.0]]).double(), "b": (torch.zeros(0, 3).double(), torch.tensor(1e3).double())}
STATISTICAL = settings(max_examples=8, phases=(Phase.explicit, Phase.generate))


def cauchy(key, count):
    return torch.tan(math.pi * (random.uniform(key, (count,), torch.float64) - 0.5))


# --- the plan


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("detect", [0.3, 0.1, 0.03])
@pytest.mark.parametrize(("alpha", "beta"), [(1e-9, 1e-3), (1e-2, 1e-6)])
def test_the_number_of_draws(size, detect, alpha, beta):
    level = (alpha / 1e3) ** 0.25  # alpha ** (1 / 4) / 10 ** 0.75
    isf = scipy.stats.norm.isf
    draws = math.ceil(((isf(level / (2 * size)) + isf(beta / 4)) / detect) ** 2)
    assert plan(size, detect, alpha, beta).draws == pytest.approx(draws, abs=1)
    assert plan(size, detect, alpha, beta).level == pytest.approx(level)
    assert plan(size, detect, alpha, beta, sided=1).draws < draws


def test_the_stages_multiply_to_alpha_even_at_the_margin():
    sized = plan(5, 0.1, ledger.ALPHA, 1e-3)
    assert sized.level == pytest.approx(1e-3)
    assert (sized.level * MARGIN) ** STAGES == pytest.approx(ledger.ALPHA)


# --- right claims


@STATISTICAL
@given(
    scale=st.sampled_from([1e-6, 1.0, 1e5]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    example=st.integers(0, 1000),
)
def test_right_claims_pass(scale, dtype, example):
    value = tree.map(lambda leaf: leaf + example, TREE)
    verdict = mean(normal_box(value, scale, dtype), value, name="right").check()
    assert verdict.stage == 1
    assert verdict.draws == plan(3, 0.1, ledger.ALPHA, 1e-3).draws
    assert verdict.alpha == ledger.ALPHA
    assert verdict.tail < HEAVY


def test_skewed_draws_pass():
    assert mean(lambda key, n: random.normal(key, (n, 3)) ** 2, torch.ones(3), name="chi squared").passed


def test_coordinates_without_spread_are_compared_as_numbers():
    value = torch.tensor([0.3, 2.0, 1e5], dtype=torch.float64)

    def constant(last):
        return lambda key, n: torch.tensor([0.1 + 0.2, 2.0, last], dtype=torch.float64).expand(n, 3)

    assert mean(constant(1e5), value, name="constant").passed
    verdict = mean(constant(1.01e5), value, name="constant")
    assert (verdict.status, verdict.coordinate, verdict.statistic) == ("biased", "value[2]", math.inf)


def test_a_float32_mean_may_be_off_by_rounding_and_says_so():
    value = torch.tensor(1 / 3).double()
    draw = normal_box(value + 3e-7, 1e-7, torch.float32)
    verdict = mean(draw, value, name="rounding")
    assert verdict.passed
    assert verdict.resolvable > 1e-6


# --- wrong claims


@STATISTICAL
@given(where=st.integers(0, 2), sign=st.sampled_from([-1, 1]), example=st.integers(0, 1000))
def test_a_bias_is_caught_and_located(where, sign, example):
    value = tree.map(lambda leaf: leaf + example, TREE)
    names = ["a[0, 0]", "a[0, 1]", "b/1"]
    shift = torch.zeros(3).double()
    shift[where] = 0.15 * sign * 10
    wrong = {"a": value["a"] + shift[:2], "b": (value["b"][0], value["b"][1] + shift[2])}
    verdict = mean(normal_box(wrong, 10.0), value, name="wrong")
    assert verdict.status == "biased"
    assert verdict.coordinate == names[where]
    assert verdict.stage == STAGES
    assert verdict.gap == pytest.approx(1.5, abs=0.3)
    assert verdict.draws == plan(3, 0.1, ledger.ALPHA, 1e-3).draws * (2**STAGES - 1)
    assert math.copysign(1, verdict.statistic) == sign
    assert verdict.resolvable == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e8])
def test_a_distance_that_swallows_the_spread_is_a_bias(offset):
    draw = normal_box(torch.tensor([offset]).double(), 1e-6)
    assert mean(draw, torch.zeros(1), name="far").status == "biased"


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_draws_that_are_not_finite_are_rejected_at_once(bad):
    def draw(key, n):
        e = random.normal(key, (n, 2), torch.float64)
        return torch.where(torch.arange(n)[:, None] == n // 2, torch.tensor([0.0, bad]).double(), e)

    verdict = mean(draw, torch.zeros(2), name="not finite")
    assert (verdict.status, verdict.coordinate, verdict.stage) == ("rejected", "value[1]", 1)


def test_other_trees_are_refused():
    for wrong in ({"a": TREE["a"]}, {**TREE, "c": torch.zeros(1)}, TREE["a"]):
        with pytest.raises(ValueError, match="must have the tree of the expected value"):
            mean(normal_box(wrong), TREE, name="tree")


# --- what cannot be judged


def test_heavy_tails_are_inconclusive_at_a_right_claim_and_at_a_wrong_one():
    for offset in (0.0, 1e-2):
        verdict = mean(cauchy, torch.tensor(offset), name="cauchy")
        assert verdict.status == "inconclusive"
        assert verdict.stage == SPARE + 1
        assert verdict.tail > 0.8
        assert "mean_bounded" in verdict.detail


def test_spare_stages_stand_in_for_void_ones():
    """Heavy first draws do not hide a bias that later stages show, each on twice the draws of the one before."""
    calls = []

    def draw(key, n):
        calls.append(n)
        return cauchy(key, n) if len(calls) == 1 else random.normal(key, (n,), torch.float64) + 0.2

    verdict = mean(draw, torch.tensor(0.0), name="heavy first")
    assert (verdict.status, verdict.stage) == ("biased", STAGES + 1)
    assert [n // calls[0] for n in calls] == [1, 2, 4, 8, 16]


# --- resolution


def test_a_resolution_in_units_of_the_draws():
    value = torch.zeros(2)
    draw, asked = counting(normal_box(value.double(), 3.0))
    verdict = mean(draw, value, name="resolve", resolve=0.15)
    assert verdict.passed
    assert 0.1 < verdict.resolvable <= 0.15
    assert len(asked) == 2
    biased = normal_box(torch.tensor([0.0, 0.15]).double(), 3.0)
    assert mean(biased, value, name="resolve", resolve=0.15).status == "biased"


def test_a_resolution_out_of_reach():
    draw, asked = counting(normal_box(torch.zeros(2).double()))
    verdict = mean(draw, torch.zeros(2), name="resolve", resolve=1e-4)
    assert verdict.status == "underpowered"
    assert len(asked) == 1
    assert mean(draw, torch.zeros(2), name="detect", detect=1e-4).status == "underpowered"


def test_a_spread_that_grows_after_the_pilot_is_underpowered():
    calls = []

    def draw(key, n):
        calls.append(n)
        return random.normal(key, (n,), torch.float64) * (1 if len(calls) == 1 else 5)

    assert mean(draw, torch.tensor(0.0), name="grows", resolve=0.1).status == "underpowered"


@pytest.mark.parametrize("wrong", [{"detect": 0.0}, {"detect": -1.0}, {"resolve": 0.0}, {"detect": math.nan}])
def test_sizes_are_positive(wrong):
    with pytest.raises(ValueError, match="is the size of a bias, above 0"):
        mean(normal_box(torch.zeros(1)), torch.zeros(1), name="size", **wrong)


# --- repeating


def result(verdict):
    return dataclasses.replace(verdict, seconds=0.0)


def test_the_same_epoch_has_the_same_bits_another_has_others(monkeypatch):
    def run(value=0.0):
        value = torch.full((2,), value).double()
        return mean(normal_box(value), value, name="replay")

    monkeypatch.setenv(seeds.EPOCH, "a")
    first, again, other_example = run(), run(), run(1.0)
    monkeypatch.setenv(seeds.EPOCH, "b")
    other_epoch = run()
    assert result(first) == result(again)
    assert len({first.statistic, other_example.statistic, other_epoch.statistic}) == 3
    assert first.replay.startswith("VAE_FN_EPOCH=a pytest ")


def test_stages_have_draws_of_their_own():
    seen = []

    def draw(key, n):
        rows = random.normal(key, (n,), torch.float64) + 1
        seen.append(rows)
        return rows

    mean(draw, torch.tensor(0.0), name="stages")
    rows = torch.cat(seen)
    assert len(seen) == STAGES
    assert len(rows.unique()) > 0.999 * len(rows)  # float32 noise has ties


def test_every_assertion_is_counted_once():
    before = len(ledger.ENTRIES)
    mean(normal_box(torch.zeros(1).double()), torch.zeros(1), name="counted", alpha=1e-10)
    assert [(entry.name, entry.alpha) for entry in ledger.ENTRIES[before:]] == [("counted", 1e-10)]
