"""Arrays as data sets: two parts as they are, or one of which a test part is held out, and no copy too many."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.arrays import KINDS, LEVELS, ONES, check_refused, intensities, part
from vae_fn import random
from vae_fn.data import DataError, scale
from vae_fn.data.arrays import TEST_SEED, Named, Part, make_dataset, make_split
from vae_fn.data.dataset import divide


def numbered(n: int) -> Part:
    return part(0.5 + np.arange(n, dtype=np.float32)[:, None] / 1024, np.arange(n))


def test_two_parts_stay_as_they_are():
    data = make_dataset(numbered(5), numbered(3)._replace(labels=None))
    assert data.train.labels.tolist() == list(range(5))
    assert data.test.labels is data.validation is None
    assert torch.equal(data.test.images, data.train.images[:3])
    assert data.shape == (1,)


def test_parts_of_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"the images: test images of shape \(2, 2\) beside training images of \(1,\)"):
        make_dataset(numbered(5), part(ONES))


@pytest.mark.parametrize("train", KINDS)
@pytest.mark.parametrize("test", KINDS)
def test_parts_are_both_levels_or_both_floats(train, test):
    """Otherwise 0 to 255 would stand beside [0, 1] in one array."""
    parts = part(intensities(0, train, (3, 2, 2))), part(intensities(1, test, (2, 2, 2)))
    if (train in LEVELS) == (test in LEVELS):
        data = make_dataset(*parts)
        assert data.train.images.dtype == data.test.images.dtype
    else:
        dtypes = [f"test images of {np.dtype(test)} beside training images of {np.dtype(train)}", "store both as"]
        check_refused(lambda parts: make_dataset(*parts), parts, "the images: ", dtypes)


@pytest.mark.parametrize("n", [2, 700])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_copied_piece_by_piece_are_the_images(kind, n):
    """700 images of 3000 pixels are three pieces; a permuted test split and its rest are those of the whole."""
    images = intensities(n, kind, (n, 50, 60))
    whole = make_split(part(images))[0]
    expected = images.astype(np.float64) / (255 if kind == "u1" else 1)
    assert np.array_equal(scale(whole.images).numpy(), expected.astype(np.float32).reshape(n, -1))
    data = make_dataset(part(images), None)
    for ours, theirs in zip((data.train, data.test), divide(whole, max(1, n // 6), random.key(TEST_SEED)), strict=True):
        assert torch.equal(ours.images, theirs.images)


def check_one_copy(make, images: np.ndarray):
    tracemalloc.start()
    try:
        make(part(images), None)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * images.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["u1", "?", "<f4"])
def test_each_image_is_copied_once(kind):
    check_one_copy(make_dataset, intensities(0, kind, (6000, 60, 60)))


def test_checking_or_dividing_a_copy_is_caught():
    def copied(whole: Part, test: None):
        return make_dataset(whole._replace(images=Named("", whole.images.array.copy())), test)

    with pytest.raises(AssertionError):
        check_one_copy(copied, intensities(0, "u1", (6000, 60, 60)))


def check_held_out(make, n: int):
    data = make(numbered(n))
    assert len(data.test.images) == max(1, n // 6)
    for split in (data.train, data.test):
        assert split.labels.tolist() == sorted(split.labels.tolist())
        assert torch.equal(split.images[:, 0], 0.5 + split.labels.float() / 1024)
    assert sorted(data.train.labels.tolist() + data.test.labels.tolist()) == list(range(n))
    everything = make_split(numbered(n))[0]
    stated = divide(everything, len(data.test.images), random.key(TEST_SEED))[1]
    assert torch.equal(data.test.labels, stated.labels)
    assert data.validation is None


@given(n=st.integers(2, 400))
def test_a_missing_test_part_is_one_image_in_six_by_the_stated_key(n):
    check_held_out(lambda part: make_dataset(part, None), n)


def test_the_last_images_as_test_part_are_caught():
    def last(whole: Part):
        images, labels = whole.images.array, whole.labels.array
        return make_dataset(part(images[:50], labels[:50]), part(images[50:], labels[50:]))

    with pytest.raises(AssertionError):
        check_held_out(last, 60)


def test_one_image_alone_is_refused():
    with pytest.raises(DataError, match="the images: one image alone"):
        make_dataset(numbered(1), None)
