"""Arrays from outside as splits: everything that can be wrong with them is found here, before any training."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vae_fn import random
from vae_fn.data.dataset import Dataset, Split, divide
from vae_fn.data.idx import DataError
from vae_fn.types import Pixels, Shape

TEST_SHARE = 6
"""Where a data set has no test part, one image in so many is held out as one: rounded down, and at least one."""

TEST_SEED = 2**64 - 2
"""The stated key that chooses them: the same in every run, whatever the run's own key."""


class Named(NamedTuple):
    """An array, and what errors call it: its file, and its key in it."""

    name: str
    array: np.ndarray


class Part(NamedTuple):
    """Images `(n, ...)` as they were read, and their labels `(n,)`, if any."""

    images: Named
    labels: Named | None


def make_dataset(train: Part, test: Part | None) -> Dataset:
    """The data set of two parts, or of one, of which one image in `TEST_SHARE` becomes the test split.

    Raises:
        DataError: If an array cannot be used, the parts differ in shape, or there is nothing to hold out.
    """
    split, shape = make_split(train)
    if test is None:
        rest, chosen = _hold_out_test(train.images.name, split)
        return Dataset(rest, None, chosen, shape)
    test_split, test_shape = make_split(test)
    if test_shape != shape:
        raise DataError(
            f"{test.images.name}: test images of shape {test_shape} beside training images of {shape}: "
            "give both the same shape"
        )
    return Dataset(split, None, test_split, shape)


def make_split(part: Part) -> tuple[Split, Shape]:
    """The split of a part, and the shape of one image.

    uint8 stays, booleans become 0 and 255, and floats of any width float32.

    Raises:
        DataError: If the images are not intensities of shape `(n, ...)`, or the labels not classes of them.
    """
    images, shape = _rows(*part.images)
    labels = None if part.labels is None else _classes(*part.labels, count=len(images))
    return Split(images, labels), shape


def _hold_out_test(name: str, split: Split) -> tuple[Split, Split]:
    count = len(split.images)
    if count == 1:
        raise DataError(f"{name}: one image alone cannot be trained on and tested: give at least two, or a test part")
    return divide(split, max(1, count // TEST_SHARE), random.key(TEST_SEED))


def _rows(name: str, images: np.ndarray) -> tuple[Pixels, Shape]:
    _check_dtype(name, images)
    _check_shape(name, images)
    if images.dtype == np.bool_:
        return _own_rows(images, np.uint8) * 255, images.shape[1:]
    if images.dtype == np.uint8:
        _check_levels(name, images)
        return _own_rows(images, np.uint8), images.shape[1:]
    _check_finite(name, images)
    _check_range(name, images)
    return _own_rows(images, np.float32), images.shape[1:]


def _own_rows(images: np.ndarray, dtype: type) -> Tensor:
    """A copy in C order: what is read may be mapped, read-only or in any order."""
    return torch.from_numpy(np.array(images, dtype, order="C")).flatten(1)


def _check_dtype(name: str, images: np.ndarray) -> None:
    if images.dtype.kind in "iu" and images.dtype != np.uint8:
        raise DataError(
            f"{name}: images of {images.dtype} leave open what is white: "
            "store them as uint8 (0 to 255), or as float32 in [0, 1]"
        )
    if images.dtype.kind not in "bfu":
        raise DataError(
            f"{name}: images of dtype {images.dtype} are no intensities: "
            "store them as uint8 (0 to 255), float32 in [0, 1] or bool"
        )


def _check_shape(name: str, images: np.ndarray) -> None:
    if images.ndim < 2:
        raise DataError(
            f"{name}: images of shape {images.shape}: give an array (n, ...) with the images along the first axis, "
            "such as (n, height, width)"
        )
    if images.size == 0:
        what = "images" if len(images) == 0 else "pixels"
        raise DataError(f"{name}: images of shape {images.shape}, so no {what} at all: check how the file was written")


def _check_levels(name: str, images: np.ndarray) -> None:
    if images.max() == 1:
        raise DataError(
            f"{name}: the brightest uint8 pixel is 1 of 255, so all would be black: "
            "multiply by 255, or store as bool or float32"
        )


def _check_finite(name: str, images: np.ndarray) -> None:
    finite = np.isfinite(images)
    if not finite.all():
        first = int(np.argmin(finite.reshape(len(images), -1).all(axis=1)))
        count = finite.size - np.count_nonzero(finite)
        raise DataError(f"{name}: {count} pixels are NaN or infinite, the first in image {first}: mend or remove them")


def _check_range(name: str, images: np.ndarray) -> None:
    low, high = images.min(), images.max()
    if low >= 0 and high <= 1:
        return
    advice = "divide by 255, or store as uint8" if low >= 0 and 2 < high <= 255 else "scale or clip them to it"
    raise DataError(f"{name}: float images from {low!s} to {high!s}, outside [0, 1]: {advice}")


def _classes(name: str, labels: np.ndarray, count: int) -> Int64[Tensor, " n"]:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name}: labels of dtype {labels.dtype}: number the classes from 0, with an integer dtype")
    if labels.shape != (count,):
        raise DataError(f"{name}: labels of shape {labels.shape} for {count} images: give one per image, ({count},)")
    classes = labels.astype(np.int64)
    if classes.min() < 0:
        first = int(np.argmax(classes < 0))
        raise DataError(f"{name}: label {labels[first]} of image {first} is no class: number the classes from 0")
    return torch.from_numpy(classes)
