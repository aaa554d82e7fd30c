"""Float pixels in [0, 1] under the three protocols, against the uint8 levels that they are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.cases import dataset, pixels_from
from vae_fn import random
from vae_fn.data import DYNAMIC, FIXED, GREY, Dataset, Split, scale


def in_floats(data: Dataset) -> Dataset:
    splits = [split._replace(images=scale(split.images), labels=None) for split in data[:3]]
    return Dataset(*splits, data.shape)


@given(seed=st.integers(0, 2**32))
def test_float_pixels_become_the_targets_of_their_levels(seed):
    pixels = pixels_from(seed, 5, 3)
    for protocol in (GREY, DYNAMIC, FIXED):
        noise = random.draw(random.key(seed), protocol.noise_like((5, 3)))
        assert torch.equal(protocol.apply(scale(pixels), noise), protocol.apply(pixels, noise))
    data = in_floats(dataset(seed))
    assert GREY.prepare(data, random.key(seed)) is DYNAMIC.prepare(data, random.key(seed)) is data


def check_fixed_floats(prepare, seed: int):
    """Floats are drawn to the same uint8 rows as the levels that they are."""
    levels = FIXED.prepare(dataset(seed), random.key(seed))
    floats = prepare(in_floats(dataset(seed)), random.key(seed))
    for drawn, split in zip(floats[:3], levels[:3], strict=True):
        assert drawn.images.dtype == torch.uint8
        assert torch.equal(drawn.images, split.images)
        assert drawn.labels is None
    assert floats.shape == levels.shape


@given(seed=st.integers(0, 2**32))
def test_fixed_floats_are_the_same_uint8_rows(seed):
    check_fixed_floats(FIXED.prepare, seed)


def truncated(data: Dataset, key) -> Dataset:
    return FIXED.prepare(data._replace(train=Split(data.train.images.to(torch.uint8), None)), key)


@pytest.mark.parametrize("mutant", [truncated, GREY.prepare])
def test_floats_taken_for_levels_or_left_grey_are_caught(mutant):
    with pytest.raises(AssertionError):
        check_fixed_floats(mutant, 0)
