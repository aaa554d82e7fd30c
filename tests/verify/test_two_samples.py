"""Two black boxes against each other: their means, and their variances."""

import pytest
import torch

from tests.verify.boxes import normal_box
from vae_fn import random
from vae_fn.verify import Biased, Rejected, ledger, lower_variance, same_mean, seeds

VALUE = {"a": torch.tensor([1.0, -2.0]).double(), "b": torch.tensor(3.0).double()}


def exponential(key, n):
    return -torch.log(random.uniform(key, (n,), torch.float64))


def normal(mean, scale):
    return normal_box(torch.tensor(mean).double(), scale)


# --- means


def test_the_same_mean_whatever_the_laws():
    verdict = same_mean(exponential, normal(1.0, 0.3), name="laws").check()
    assert verdict.claim == "same_mean"
    assert same_mean(normal_box(VALUE), normal_box(VALUE, 5.0), name="trees").passed


def test_one_box_twice_is_drawn_independently():
    """Common noise would cancel, and any box would be resolved to rounding."""
    verdict = same_mean(normal(0.0, 1.0), normal(0.0, 1.0), name="twice")
    assert verdict.passed
    assert verdict.resolvable == pytest.approx(0.1 * 2**0.5, rel=0.05)


def test_another_mean_is_caught_and_located():
    wrong = {**VALUE, "b": VALUE["b"] + 0.25}
    verdict = same_mean(normal_box(VALUE), normal_box(wrong), name="wrong")
    assert (verdict.status, verdict.coordinate) == ("biased", "b")
    with pytest.raises(Biased):
        verdict.check()


def test_other_trees_are_refused():
    with pytest.raises(ValueError, match="trees of other shapes"):
        same_mean(normal_box(VALUE), normal_box({"a": VALUE["a"]}), name="trees")
    with pytest.raises(ValueError, match="trees of other shapes"):
        same_mean(normal_box(torch.zeros(3)), normal_box(torch.zeros(1)), name="broadcast")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.complex64])
def test_integers_do_not_wrap_around_and_truth_values_have_means(dtype):
    def coin(p):
        return lambda key, n: (random.uniform(key, (n,)) < p).to(dtype)

    assert same_mean(coin(0.5), coin(0.5), name="coins").passed
    assert same_mean(coin(0.5), coin(0.8), name="coins").status == "biased"
    assert lower_variance(coin(0.1), coin(0.5), factor=2.0, name="coins").passed
    assert lower_variance(coin(0.5), coin(0.1), name="coins").status == "rejected"


# --- variances


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 1.0), (0.5, 1.0), (0.5, 3.5), (2.0, 0.24)])
def test_right_claims_pass(scale, factor):
    verdict = lower_variance(normal(5.0, scale), normal(-1.0, 1.0), factor=factor, name="right")
    assert verdict.check().claim == "lower_variance"


@pytest.mark.parametrize(("scale", "factor"), [(1.3, 1.0), (2.0, 1.0), (0.5, 6.0), (1.0, 1.5)])
def test_wrong_claims_are_rejected(scale, factor):
    verdict = lower_variance(normal(0.0, scale), normal(0.0, 1.0), factor=factor, name="wrong")
    assert verdict.status == "rejected"
    assert f"factor of {factor:g}" in verdict.detail
    with pytest.raises(Rejected):
        verdict.check()


def test_the_total_over_all_leaves_counts():
    less = {"a": torch.tensor([3.0, 0.1]).double(), "b": torch.tensor(0.1).double()}
    more = {"a": torch.tensor([0.2, 0.2]).double(), "b": torch.tensor(4.0).double()}

    def box(scales):
        return lambda key, n: {name: scales[name] * x for name, x in normal_box(VALUE)(key, n).items()}

    assert lower_variance(box(less), box(more), factor=1.3, name="total").passed
    assert lower_variance(box(more), box(less), name="total").status == "rejected"


def test_constants_have_no_variance():
    def constant(key, n):
        return torch.full((n,), 0.3)

    assert lower_variance(constant, normal(0.0, 1.0), factor=100.0, name="constant").passed
    assert lower_variance(constant, constant, name="constant").passed
    assert lower_variance(normal(0.0, 1.0), constant, name="constant").status == "rejected"


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_factor_is_positive(factor):
    with pytest.raises(ValueError, match="a ratio of variances, above 0"):
        lower_variance(normal(0.0, 1.0), normal(0.0, 1.0), factor=factor, name="factor")


def test_variances_that_do_not_exist_are_inconclusive():
    def heavy(key, n):
        return random.uniform(key, (n,), torch.float64) ** (-1 / 1.5)

    assert lower_variance(heavy, heavy, name="heavy").status == "inconclusive"


def test_names_and_replay(monkeypatch):
    monkeypatch.setenv(seeds.EPOCH, "a")
    before = len(ledger.ENTRIES)
    first, again = (lower_variance(exponential, normal(0.0, 1.0)) for _ in range(2))
    assert "exponential against" in first.name
    assert first.statistic == again.statistic
    assert first.replay.startswith("VAE_FN_EPOCH=a ")
    assert "exponential and" in same_mean(exponential, normal(1.0, 0.3)).name
    assert [entry.claim for entry in ledger.ENTRIES[before:]] == ["lower_variance", "lower_variance", "mean"]
    monkeypatch.setenv(seeds.EPOCH, "b")
    assert lower_variance(exponential, normal(0.0, 1.0)).statistic != first.statistic
