import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_fn.viz.deviation import (
    deviation_from_prior,
    ks_distance,
    normal_cdf,
    normal_density,
    normal_quantile,
)

samples = st.lists(st.floats(-5, 5) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=30).map(np.array)


def agrees_with_scipy(distance, values):
    return abs(distance(values) - stats.kstest(values, "norm").statistic) <= 1e-12


@given(samples)
def test_the_distance_is_scipys(values):
    assert agrees_with_scipy(ks_distance, values)


def above_alone(values):
    phi = normal_cdf(np.sort(values))
    return (np.arange(1, len(values) + 1) / len(values) - phi).max()


def below_alone(values):
    phi = normal_cdf(np.sort(values))
    return (phi - np.arange(len(values)) / len(values)).max()


def at_the_values_alone(values):
    return np.abs(np.arange(1, len(values) + 1) / len(values) - normal_cdf(np.sort(values))).max()


@pytest.mark.parametrize("mutant", [above_alone, below_alone, at_the_values_alone])
def test_a_distance_that_looks_at_one_side_is_rejected(mutant):
    cases = [np.array(values) for values in ([-2.0], [2.0], [-1.0, 1.5], [0.3, 0.4])]
    assert all(agrees_with_scipy(ks_distance, values) for values in cases)
    assert not all(agrees_with_scipy(mutant, values) for values in cases)


def test_the_distance_at_its_ends():
    assert ks_distance(np.zeros(9)) == 0.5
    assert ks_distance(np.full(9, 50.0)) == 1
    n = 1000
    assert ks_distance(normal_quantile((np.arange(n) + 0.5) / n)) == pytest.approx(0.5 / n)
    with pytest.raises(ValueError, match="at least one"):
        ks_distance(np.zeros(0))


def test_a_row_for_each_dimension():
    z = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32) * [1, 2, 3] + 1
    rows = deviation_from_prior(z)
    assert [row.dimension for row in rows] == [0, 1, 2]
    for row, x in zip(rows, z.T, strict=True):
        assert agrees_with_scipy(ks_distance, x)
        assert row.ks == ks_distance(x)
        assert (row.mean, row.variance) == pytest.approx((np.mean(x), np.mean((x - np.mean(x)) ** 2)))


def test_the_normal_law_is_scipys():
    x = np.linspace(-8, 8, 33)
    assert np.allclose(normal_cdf(x), stats.norm.cdf(x), rtol=1e-13, atol=0)
    assert np.allclose(normal_density(x), stats.norm.pdf(x), rtol=1e-13, atol=0)
    p = np.linspace(0.001, 0.999, 33)
    assert np.allclose(normal_quantile(p), stats.norm.ppf(p), rtol=1e-12, atol=1e-15)
