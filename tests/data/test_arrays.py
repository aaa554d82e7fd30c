"""Arrays from outside: what is taken becomes float32 or uint8 rows by the obvious rule, and the rest is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.arrays import KINDS, ONES, check_refused, intensities, part
from vae_fn.data import DataError, Split, scale
from vae_fn.data.arrays import Named, Part, make_split

SEEDS = st.integers(0, 2**32)


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
