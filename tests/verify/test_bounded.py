"""Means with a bound on the variance: the level by enumeration, power, and what is refused."""

import dataclasses
import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.boxes import array_box, counting, normal_box
from vae_fn import random
from vae_fn.verify import ledger, mean, mean_bounded, sample, seeds

VALUE = {"a": torch.tensor([1.0, -2.0]).double(), "b": torch.tensor(100.0).double()}


def result(verdict):
    return dataclasses.replace(verdict, seconds=0.0)


def evidence_of_counts(high, low, p, variance, claimed, detect=2.0, alpha=1e-4):
    """Of draws that are `high` with probability p: every number of highs, its probability, and the verdict's log e."""

    def run(array):
        return mean_bounded(array_box(array), claimed, variance, detect=detect, alpha=alpha, name="two points")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "ENTRIES", [])  # these are no assertions of the suite
        draws = run(torch.zeros(10**4).double()).draws
        return [
            (
                scipy.stats.binom.pmf(highs, draws, p),
                run(torch.tensor([high] * highs + [low] * (draws - highs), dtype=torch.float64)),
            )
            for highs in range(draws + 1)
        ]


ZERO = torch.tensor(0.0, dtype=torch.float64)


@settings(max_examples=5)
@given(p=st.sampled_from([0.001, 0.05, 0.5, 0.9]), looser=st.sampled_from([1.0, 1.5]))
def test_the_level_is_exact_on_two_points(p, looser):
    """E e = 1 with the law's own variance, less with a looser bound; rejections have at most their level."""
    high, low = math.sqrt((1 - p) / p), -math.sqrt(p / (1 - p))  # mean 0, variance 1
    rows = evidence_of_counts(high, low, p, looser, ZERO)
    expectation = sum(weight * math.exp(verdict.statistic) for weight, verdict in rows)
    assert expectation <= 1 + 1e-9
    if looser == 1:
        assert expectation == pytest.approx(1, abs=1e-9)
    for alpha in (0.5, 0.1, 1e-2, 1e-4):
        assert sum(weight for weight, verdict in rows if verdict.statistic >= -math.log(alpha)) <= alpha
    assert sum(weight for weight, verdict in rows if verdict.status == "biased") <= 1e-4


def test_a_bound_that_is_too_small_is_no_bound():
    rows = evidence_of_counts(1.0, -1.0, 0.5, 0.01, ZERO)
    assert sum(weight * math.exp(verdict.statistic) for weight, verdict in rows) > 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_right_claims_pass(dtype, scale):
    verdict = mean_bounded(normal_box(VALUE, scale, dtype), VALUE, scale**2, name="right").check()
    assert verdict.tier == "bounded"
    assert verdict.stage == 1
    rounding = (1e-6 if dtype == torch.float32 else 1e-12) * 101
    assert verdict.resolvable == pytest.approx(max(0.1 * scale, rounding))


def test_the_number_of_draws():
    draw, asked = counting(normal_box(VALUE))
    verdict = mean_bounded(draw, VALUE, 1.0, detect=0.3, alpha=1e-10, beta=1e-2, name="draws")
    expected = ((scipy.stats.norm.isf(1e-2) + math.sqrt(2 * math.log(6 / 1e-10))) / 0.3) ** 2
    assert verdict.draws == sum(asked) == math.ceil(expected)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("where", "name"), [(0, "a[0]"), (1, "a[1]"), (2, "b")])
def test_a_bias_is_caught_and_located(sign, where, name):
    shift = torch.zeros(3).double()
    shift[where] = 0.12 * sign
    wrong = {"a": VALUE["a"] + shift[:2], "b": VALUE["b"] + shift[2]}
    verdict = mean_bounded(normal_box(wrong), VALUE, 1.0, name="wrong")
    assert (verdict.status, verdict.coordinate) == ("biased", name)
    assert verdict.gap == pytest.approx(0.12, abs=0.05)


def test_heavy_tails_with_a_variance_are_no_obstacle():
    """A Pareto law of tail exponent 2.5, from uniform noise: mean 5/3, variance 20/9."""

    def pareto(key, n):
        return random.uniform(key, (n,), torch.float64) ** (-1 / 2.5)

    assert mean_bounded(pareto, torch.tensor(5 / 3), 20 / 9, name="pareto").passed
    assert mean_bounded(pareto, torch.tensor(1.45), 20 / 9, name="pareto").status == "biased"


def test_a_bound_for_every_coordinate():
    scale = torch.tensor([1e-3, 1e3]).double()
    value = torch.zeros(2).double()
    draw = normal_box(value, scale)
    assert mean_bounded(draw, value, scale**2, name="scales").passed
    wrong = normal_box(torch.tensor([2e-4, 0.0]).double(), scale)
    assert mean_bounded(wrong, value, scale**2, name="scales").coordinate == "value[0]"


@pytest.mark.parametrize("bound", [0.0, 1e-33])
def test_coordinates_without_spread_are_compared_to_rounding(bound):
    """Integrals leave rounding where the variance is 0, and draws may differ from the value by a last bit."""
    value = torch.tensor([0.3, 0.0], dtype=torch.float64)
    variance = torch.tensor([bound, 1.0]).double()

    def draw(first):
        return lambda key, n: torch.stack(
            [torch.full((n,), first, dtype=torch.float64), random.normal(key, (n,)).double()], 1
        )

    assert mean_bounded(draw(0.1 + 0.2), value, variance, name="constant").passed
    verdict = mean_bounded(draw(0.3 + 1e-6), value, variance, name="constant")
    assert (verdict.status, verdict.coordinate) == ("biased", "value[0]")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_draws_that_are_not_finite_are_rejected(bad):
    array = torch.zeros(20_000, 2).double()
    array[100, 1] = bad
    verdict = mean_bounded(array_box(array), torch.zeros(2), 1.0, name="not finite")
    assert verdict.status == "rejected"
    assert "value[1]" in verdict.detail


def test_chunks_change_the_keys_alone(monkeypatch):
    array = random.normal(random.key(0), (12_000, 3), torch.float64)
    whole = mean_bounded(array_box(array), torch.zeros(3), 1.0, name="chunks")
    monkeypatch.setattr("vae_fn.verify.bounded.ENTRIES", 1000)
    assert mean_bounded(array_box(array), torch.zeros(3), 1.0, name="chunks").statistic == pytest.approx(
        whole.statistic, rel=1e-9
    )
    assert sample.ENTRIES > 1000


@pytest.mark.parametrize(("detect", "variance"), [(0.0, 1.0), (0.1, -1.0), (0.1, torch.ones(3)), (0.1, math.nan)])
def test_refusals(detect, variance):
    with pytest.raises(ValueError, match="give a positive detect, and a variance bound"):
        mean_bounded(normal_box(VALUE), VALUE, variance, detect=detect, name="refused")


def test_another_tree_is_refused():
    with pytest.raises(ValueError, match="must have the tree"):
        mean_bounded(normal_box(VALUE["a"]), VALUE, 1.0, name="tree")


def test_the_same_epoch_has_the_same_bits_another_has_others(monkeypatch):
    def run(value=0.0):
        value = torch.full((2,), value).double()
        return mean_bounded(normal_box(value), value, 1.0, name="replay")

    monkeypatch.setenv(seeds.EPOCH, "a")
    first, again, other_example = run(), run(), run(1.0)
    monkeypatch.setenv(seeds.EPOCH, "b")
    assert result(first) == result(again)
    assert len({first.statistic, other_example.statistic, run().statistic}) == 3


def test_every_assertion_is_counted_once():
    before = len(ledger.ENTRIES)
    mean_bounded(normal_box(torch.zeros(1).double()), torch.zeros(1), 1.0, name="counted", alpha=1e-10)
    assert [(entry.name, entry.alpha) for entry in ledger.ENTRIES[before:]] == [("counted", 1e-10)]


@pytest.mark.parametrize("check", [mean, mean_bounded])
@pytest.mark.parametrize("wrong", [{"alpha": math.nan}, {"alpha": 0.0}, {"alpha": -1e-9}, {"beta": 0.0}, {"beta": 2.0}])
def test_errors_have_probabilities_and_what_has_none_is_not_counted(check, wrong):
    bound = () if check is mean else (1.0,)
    before = len(ledger.ENTRIES)
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is the probability of an error"):
        check(normal_box(VALUE), VALUE, *bound, name="errors", **wrong)
    assert all(0 < entry.alpha < 1 for entry in ledger.ENTRIES[before:])


def test_no_bound_at_all_is_refused():
    with pytest.raises(ValueError, match="no bound at all"):
        mean_bounded(normal_box(VALUE), VALUE, math.inf, name="unbounded")


def test_too_many_draws_are_not_drawn():
    draw, asked = counting(normal_box(VALUE))
    assert mean_bounded(draw, VALUE, 1.0, detect=1e-5, name="many").status == "underpowered"
    assert asked == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_constant_may_be_rounded_to_its_dtype(dtype):
    assert mean(lambda key, n: torch.full((n,), 0.1, dtype=dtype), 0.1, name="rounded").passed
    assert mean_bounded(lambda key, n: torch.full((n,), 0.1, dtype=dtype), 0.1, 0.0, name="rounded").passed


def test_the_imaginary_part_has_a_mean():
    def draw(key, n):
        return torch.complex(random.normal(key, (n,)), torch.full((n,), 3.0))

    assert mean(draw, 3j, name="complex").passed
    assert mean(draw, 0j, name="complex").coordinate == "value[1]"
