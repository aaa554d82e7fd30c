"""Draws reduced in one pass: the moments of torch and scipy, however the draws come in chunks."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.boxes import array_box, counting, normal_box
from vae_fn import random
from vae_fn.verify import sample as module
from vae_fn.verify.coordinates import coordinates_of, vector
from vae_fn.verify.sample import TAILS, take

KEY = random.key(1)


def reduced(array, centre=None, entries=module.ENTRIES, **rest):
    like = torch.zeros(array.shape[1:], dtype=torch.float64)
    centre = torch.zeros(like.numel(), dtype=torch.float64) if centre is None else centre
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ENTRIES", entries)
        return take(array_box(array, **rest), KEY, len(array), coordinates_of(like), centre)


@settings(max_examples=30)
@given(
    draws=st.integers(2, 40),
    size=st.integers(1, 12),
    entries=st.integers(1, 100),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    seed=st.integers(0, 2**31),
)
def test_moments_at_any_chunking(draws, size, entries, scale, seed):
    generator = np.random.default_rng(seed)
    array = torch.tensor(scale * (generator.gamma(2.0, size=(draws, size)) - generator.normal(size=size)))
    centre = torch.tensor(scale * generator.normal(size=size))
    found = reduced(array, centre, entries)
    assert found.draws == draws
    torch.testing.assert_close(found.mean, array.mean(0) - centre, rtol=1e-9, atol=1e-12 * scale)
    torch.testing.assert_close(found.scale, array.std(0), rtol=1e-7, atol=0)
    skewness = torch.tensor(scipy.stats.skew(array.numpy(), axis=0))
    biased = (1 - 1 / draws) ** 1.5  # ours is in units of the standard deviation with n - 1
    torch.testing.assert_close(found.skewness, skewness * biased, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.width, array.amax(0) - array.amin(0), rtol=1e-9, atol=0)
    assert found.finite.all()
    assert found.kept.shape == (draws, min(size, TAILS))


def test_the_most_kurtotic_columns_are_kept():
    generator = np.random.default_rng(0)
    array = torch.tensor(generator.normal(size=(500, 30)))
    heavy = [3, 11, 29]
    array[:, heavy] = torch.tensor(generator.standard_t(3, size=(500, 3)))
    found = reduced(array)
    kept = {tuple(column.tolist()) for column in found.kept.T}
    assert all(tuple(array[:, column].tolist()) in kept for column in heavy)
    by_kurtosis = np.argsort(-scipy.stats.kurtosis(array.numpy(), axis=0))[:TAILS]
    assert kept == {tuple(array[:, column].tolist()) for column in by_kurtosis}


def test_constants_have_no_width_and_no_moments():
    array = torch.cat([torch.full((50, 1), 0.1 + 0.2), torch.arange(50.0)[:, None]], 1).double()
    found = reduced(array, torch.tensor([0.3, 0.0]).double())
    assert found.width[0] == 0
    assert found.scale[0] < 1e-15
    assert found.width[1] == 49


@pytest.mark.parametrize("entries", [2, 10**6])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1e160])
def test_a_coordinate_that_cannot_be_summed_is_marked(bad, entries):
    array = torch.ones(9, 2).double()
    array[6, 1] = bad
    assert reduced(array, entries=entries).finite.tolist() == [True, False]


def test_each_chunk_has_a_key_of_its_own():
    like = torch.zeros(3, dtype=torch.float64)
    draw, asked = counting(normal_box(like))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ENTRIES", 12)
        found = take(draw, KEY, 10, coordinates_of(like), vector(like))
    assert asked == [4, 4, 2]
    rows = torch.cat([normal_box(like)(random.fold_in(KEY, i), n) for i, n in enumerate(asked)])
    torch.testing.assert_close(found.mean, rows.mean(0))
    assert len(rows.unique()) == 30


def test_rounding_is_that_of_the_coarsest_leaf():
    like = {"a": torch.zeros(2), "b": torch.zeros(())}

    def draw(key, count):
        return {"a": torch.zeros(count, 2).double(), "b": torch.zeros(count)}

    assert take(draw, KEY, 4, coordinates_of(like), vector(like)).rounding == 1e-6
    assert reduced(torch.zeros(4, 2).double()).rounding == 1e-12


def test_more_coordinates_than_entries_are_drawn_one_by_one():
    array = torch.arange(12.0).double().reshape(3, 4)
    torch.testing.assert_close(reduced(array, entries=2).mean, array.mean(0))
