"""Arrays from outside: what is taken becomes float32 or uint8 rows by the obvious rule, and the rest is refused."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.data import DataError, Split, scale
from vae_fn.data.arrays import TEST_SEED, Named, Part, make_dataset, make_split
from vae_fn.data.dataset import divide

SEEDS = st.integers(0, 2**32)
LEVELS = ["u1", "?"]
KINDS = [*LEVELS, "f2", "<f4", ">f4", "<f8", ">f8"]


def part(images, labels=None) -> Part:
    return Part(Named("the images", images), None if labels is None else Named("the labels", labels))


def intensities(seed: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 256, shape)
    levels.flat[0] = 255
    if kind == "u1":
        return levels.astype(kind)
    return levels > 127 if kind == "?" else (levels / 255).astype(kind)


def layouts(images: np.ndarray) -> list[np.ndarray]:
    """The same images in other memory: in another order, backwards, and not to be written."""
    frozen = images.copy()
    frozen.flags.writeable = False
    return [images, np.asfortranarray(images), images[::-1].copy()[::-1], frozen]


def check_rows(make, images: np.ndarray):
    for same in layouts(images):
        split, shape = make(part(same))
        assert shape == images.shape[1:]
        assert split.images.shape == (len(images), images[0].size)
        assert split.images.is_contiguous()
        assert split.images.dtype == (torch.uint8 if images.dtype.kind in "bu" else torch.float32)
        expected = images.astype(np.float64) / (255 if images.dtype.kind == "u" else 1)
        assert np.array_equal(scale(split.images).numpy(), expected.astype(np.float32).reshape(len(images), -1))


@given(seed=SEEDS, kind=st.sampled_from(KINDS), shape=st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple))
def test_every_accepted_dtype_shape_and_memory_layout(seed, kind, shape):
    check_rows(make_split, intensities(seed, kind, shape))


def without_order(part: Part):
    images = part.images.array
    return Split(torch.from_numpy(images.ravel("K").reshape(len(images), -1).copy()), None), images.shape[1:]


def booleans_as_levels(part: Part):
    return make_split(part._replace(images=Named("", part.images.array.astype(np.uint8))))


def test_rows_in_another_order_and_booleans_as_levels_are_caught():
    with pytest.raises(AssertionError):
        check_rows(without_order, intensities(0, "u1", (3, 4, 5)))
    with pytest.raises((AssertionError, DataError)):
        check_rows(booleans_as_levels, intensities(0, "?", (3, 4, 5)))


ONES = np.ones((4, 2, 2), np.float32)


def spoilt(index: tuple[int, ...], value: float, dtype="f4") -> np.ndarray:
    images = ONES.astype(dtype)
    images[index] = value
    return images


REFUSED = {
    "no axis": (np.ones((), np.float32), ["shape ()", "(n, height, width)"]),
    "one axis": (ONES[:, 0, 0], ["shape (4,)", "(n, height, width)"]),
    "no images": (ONES[:0], ["shape (0, 2, 2)", "no images"]),
    "no pixels": (ONES[:, :0], ["shape (4, 0, 2)", "no pixels"]),
    "int64": (ONES.astype("i8"), ["int64", "uint8 (0 to 255)", "float32 in [0, 1]"]),
    "int8": (ONES.astype("i1"), ["int8", "uint8 (0 to 255)"]),
    "uint16": (ONES.astype("u2"), ["uint16", "uint8 (0 to 255)"]),
    "complex": (ONES.astype("c8"), ["complex64", "no intensities"]),
    "strings": (ONES.astype("U3"), ["<U3", "no intensities"]),
    "dates": (ONES.astype("M8[s]"), ["datetime64", "no intensities"]),
    "fields": (np.zeros((2, 2), [("r", "u1")]), ["no intensities"]),
    "NaN": (spoilt((2, 1, 0), np.nan), ["1 pixel is NaN or infinite", "image 2"]),
    "infinities": (spoilt((1,), -np.inf), ["4 pixels are NaN or infinite", "image 1"]),
    "NaN and more": (spoilt((3, 0, 0), np.nan) * 300, ["1 pixel is NaN or infinite", "image 3"]),
    "levels as floats": (spoilt((0, 0, 0), 254.5), ["from 1.0 to 254.5", "divide by 255, or store as uint8"]),
    "centred": (spoilt((0, 0, 0), -0.5), ["from -0.5 to 1.0", "scale or clip"]),
    "a little above": (spoilt((0, 0, 0), np.nextafter(1, 2, dtype="f4")), ["to 1.0000001", "scale or clip"]),
    "a little below": (spoilt((0, 0, 0), -(2.0**-149)), ["from -1e-45 to", "scale or clip"]),
    "above in float64": (spoilt((0, 0, 0), 1 + 2.0**-52, "f8"), ["to 1.0000000000000002", "scale or clip"]),
    "huge in float64": (spoilt((0, 0, 0), 1e300, "f8"), ["to 1e+300", "scale or clip"]),
    "uint8 ones": (ONES.astype("u1"), ["1 of 255", "multiply by 255, or store as bool"]),
}
REFUSED_LABELS = {
    "too few": (np.arange(3), ["shape (3,) for 4 images"]),
    "a column": (np.arange(4)[:, None], ["shape (4, 1) for 4 images"]),
    "one number": (np.array(3), ["shape () for 4 images"]),
    "floats": (np.arange(4.0), ["float64", "integer"]),
    "strings": (np.array(["a", "b", "c", "d"]), ["<U1", "integer"]),
    "booleans": (np.arange(4) > 1, ["bool", "integer"]),
    "negative": (np.array([0, 1, -7, 2]), ["label -7 of image 2"]),
    "beyond int64": (np.array([0, 1, 2**63, 2], "u8"), [f"label {2**63} of image 2"]),
}


def check_refused(make, faulty, culprit: str, words: list[str]):
    try:
        make(faulty)
    except DataError as error:
        message = str(error)
    else:
        raise AssertionError("the arrays were not refused")
    assert message.startswith(culprit)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("fault", REFUSED)
def test_images_that_cannot_be_used_are_refused_with_the_reason(fault):
    images, words = REFUSED[fault]
    check_refused(make_split, part(images), "the images: ", words)


@pytest.mark.parametrize("fault", REFUSED_LABELS)
def test_labels_that_are_no_classes_are_refused_with_the_reason(fault):
    labels, words = REFUSED_LABELS[fault]
    check_refused(make_split, part(ONES, labels), "the labels: ", words)


def test_a_maker_that_checks_nothing_is_caught():
    with pytest.raises(AssertionError):
        check_refused(lambda part: part, part(REFUSED["NaN"][0]), "the images: ", [])


@pytest.mark.parametrize("images", [0 * ONES, ONES, (0 * ONES).astype("u1"), -0.0 * ONES, 2 * ONES.astype("u1")])
def test_the_ends_of_the_range_are_taken(images):
    assert len(make_split(part(images))[0].images) == 4


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "i4", "i8", "u8"])
def test_labels_of_any_integer_dtype_become_int64(dtype):
    labels = make_split(part(ONES, np.array([3, 0, 2, 0], dtype)))[0].labels
    assert labels.dtype == torch.int64
    assert labels.tolist() == [3, 0, 2, 0]


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
