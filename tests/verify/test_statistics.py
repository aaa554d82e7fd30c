"""The statistics of means and tails, against formulas worked by hand, scipy, and samples of known tails."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.verify.boxes import array_box
from vae_fn import random
from vae_fn.verify.coordinates import coordinates_of
from vae_fn.verify.sample import Sample, take
from vae_fn.verify.statistics import pareto_shape, quantile, skew_corrected


@given(st.floats(1e-15, 1 - 1e-6))
def test_quantiles_are_those_of_scipy(level):
    assert quantile(level) == pytest.approx(scipy.stats.norm.isf(level), rel=1e-9, abs=1e-12)


ZERO = torch.zeros((), dtype=torch.float64)


def sample_of(mean, scale, skewness, draws):
    """A sample of one coordinate with these moments."""
    one = torch.ones(1, dtype=torch.float64)
    flags = torch.ones(1, dtype=torch.bool)
    return Sample(draws, mean * one, scale * one, skewness * one, one, flags, torch.zeros(draws, 1).double(), 0.0)


def corrected(mean, scale, skewness, draws, slack=0.0):
    return float(skew_corrected(sample_of(mean, scale, skewness, draws), torch.tensor([slack]).double()))


@given(
    mean=st.floats(-0.5, 0.5).filter(lambda m: abs(m) > 1e-3),
    scale=st.floats(0.1, 10),
    skewness=st.floats(-4, 4),
    draws=st.integers(8, 10**5),
)
def test_hall_as_printed(mean, scale, skewness, draws):
    """sqrt n {T + g T**2 / 3 + g**2 T**3 / 27 + g / (6 n)} with T the mean in standard deviations."""
    T = mean / scale
    by_hand = math.sqrt(draws) * (T + skewness * T**2 / 3 + skewness**2 * T**3 / 27 + skewness / (6 * draws))
    assert corrected(mean, scale, skewness, draws) == pytest.approx(by_hand, rel=1e-9, abs=1e-12)


@given(target=st.floats(-4, 4), skewness=st.floats(0.1, 4), draws=st.integers(200, 10**5))
def test_hall_has_his_inverse(target, skewness, draws):
    """His intervals invert it: T = (3 / g) {[1 + g (x / sqrt n - g / (6 n))]**(1/3) - 1}."""
    inner = 1 + skewness * (target / math.sqrt(draws) - skewness / (6 * draws))
    mean = 3 / skewness * (np.cbrt(inner) - 1)
    assert corrected(mean, 1.0, skewness, draws) == pytest.approx(target if mean else 0.0, rel=1e-6, abs=1e-6)


def test_without_skewness_it_is_the_t_statistic():
    x = np.random.default_rng(0).normal(0.1, 2, 200)
    x = np.concatenate([x, 0.3 - x])  # symmetric about 0.15
    sample = take(array_box(torch.tensor(x)), random.key(0), len(x), coordinates_of(ZERO), ZERO[None])
    ours = float(skew_corrected(sample, torch.zeros(1).double()))
    assert ours == pytest.approx(scipy.stats.ttest_1samp(x, 0).statistic, rel=1e-6)


def test_it_takes_out_the_skewness():
    """Means of 60 exponentials: one sided, the t statistic is off by a factor of 2, the corrected one is not."""
    count, runs = 60, 40_000
    draws = torch.from_numpy(np.random.default_rng(1).exponential(size=(count, runs)) - 1)
    like = torch.zeros(runs, dtype=torch.float64)
    sample = take(array_box(draws), random.key(0), count, coordinates_of(like), like)
    ours = skew_corrected(sample, like)
    plain = sample.mean * math.sqrt(count) / sample.scale
    bound = quantile(0.025)
    share = {name: float((t < -bound).double().mean()) for name, t in (("plain", plain), ("ours", ours))}
    assert share["plain"] > 0.045
    assert 0.02 < share["ours"] < 0.035


def test_rounding_is_taken_off_and_no_distance_is_no_evidence():
    assert corrected(1e-7, 1.0, 3.0, 100, slack=1e-6) == 0
    assert corrected(0.0, 1.0, 3.0, 100) == 0
    assert corrected(0.5, 1.0, 2.0, 100, slack=0.1) == pytest.approx(corrected(0.4, 1.0, 2.0, 100))
    assert corrected(0.5, 0.0, 0.0, 100) == 0


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.5, 1.0])
def test_the_shape_of_exact_pareto_quantiles(shape):
    """Both tails of a symmetric law with generalised Pareto excesses, at its quantiles."""
    n = 4000
    levels = (np.arange(n) + 0.5) / n
    one = scipy.stats.genpareto.ppf(levels, shape)
    values = torch.tensor(np.concatenate([-one, one]))[:, None]
    assert pareto_shape(values) == pytest.approx(shape, abs=0.12)
    assert pareto_shape(7 - 100 * values) == pytest.approx(pareto_shape(values), abs=1e-6)


@pytest.mark.parametrize(
    ("law", "shape"),
    [
        (scipy.stats.t(1), 1.0),
        (scipy.stats.t(2), 0.5),
        (scipy.stats.t(5), 0.2),
        (scipy.stats.pareto(1.5), 1 / 1.5),
        (scipy.stats.norm(), 0.0),
    ],
    ids=["t(1)", "t(2)", "t(5)", "pareto(1.5)", "normal"],
)
def test_the_shape_of_samples_of_known_tails(law, shape):
    values = torch.tensor(law.rvs((10_000, 5), random_state=np.random.default_rng(2)))
    found = sorted(pareto_shape(values[:, [i]]) for i in range(5))
    assert found[2] == pytest.approx(shape, abs=0.2)
    assert pareto_shape(values) == pytest.approx(found[-1])


def test_light_tails_of_two_widths_are_not_taken_for_a_heavy_one():
    """The distances from the median mix both sides: 4 % from the wide one, which soon stands alone."""
    levels = torch.from_numpy((np.arange(5000) + 0.5) / 5000)
    narrow, wide = torch.special.ndtri(levels), -8 - 3 * torch.sqrt(-2 * torch.log(levels[::25]))
    assert pareto_shape(torch.cat([4 * narrow, wide])[:, None]) < 0.2


def test_one_heavy_side_is_enough():
    levels = (np.arange(4000) + 0.5) / 4000
    values = torch.tensor(scipy.stats.pareto(1.5).ppf(levels))[:, None]
    assert pareto_shape(values) == pytest.approx(pareto_shape(-values)) == pytest.approx(1 / 1.5, abs=0.1)


@pytest.mark.parametrize(
    "law",
    [scipy.stats.poisson(1.0), scipy.stats.geom(0.5), scipy.stats.binom(10, 0.02)],
    ids=["poisson", "geom", "binom"],
)
def test_counts_have_light_tails(law):
    values = torch.tensor(law.rvs((5000, 40), random_state=np.random.default_rng(3))).double()
    assert pareto_shape(values) < 0.5


def test_what_has_no_tail():
    assert pareto_shape(torch.ones(1000, 2).double()) == 0
    assert pareto_shape(torch.tensor([0.0, 1.0]).double().repeat(500)[:, None]) == 0
    assert pareto_shape(torch.arange(20.0).double()[:, None]) == 0
    assert pareto_shape(torch.zeros(100, 0).double()) == 0
