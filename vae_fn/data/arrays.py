"""Arrays from outside as splits: everything that can be wrong with them is found here, before any training."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vae_fn import random
from vae_fn.data.checks import check_bright, check_images
from vae_fn.data.dataset import Dataset, Split, batch_slices, divide_places
from vae_fn.data.idx import DataError
from vae_fn.types import Pixels, Shape
from vae_fn.words import counted

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
        DataError: If an array cannot be used, the training images are black or all but black, the parts differ in shape
            or dtype, or there is nothing to hold out.
    """
    _check(train)
    check_bright(*train.images)
    images = train.images.array
    if test is None:
        rest, chosen = _hold_out_test(*train.images)
        return Dataset(_take(train, rest), None, _take(train, chosen), images.shape[1:])
    _check(test)
    _check_alike(train.images, test.images)
    return Dataset(_take(train, _all(train)), None, _take(test, _all(test)), images.shape[1:])


def make_split(part: Part) -> tuple[Split, Shape]:
    """The split of a part, and the shape of one image.

    uint8 stays, booleans become 0 and 255, and floats of any width float32.

    Raises:
        DataError: If the images are not intensities of shape `(n, ...)`, or the labels not classes of them.
    """
    _check(part)
    return _take(part, _all(part)), part.images.array.shape[1:]


def _check(part: Part) -> None:
    check_images(*part.images)
    if part.labels is not None:
        _check_classes(*part.labels, count=len(part.images.array))


def _check_alike(train: Named, test: Named) -> None:
    shape, test_shape = train.array.shape[1:], test.array.shape[1:]
    if test_shape != shape:
        raise DataError(
            f"{test.name}: test images of shape {test_shape} beside training images of {shape}: "
            "give both the same shape"
        )
    dtype, test_dtype = train.array.dtype, test.array.dtype
    if _kept(test_dtype) != _kept(dtype):
        raise DataError(
            f"{test.name}: test images of {test_dtype} beside training images of {dtype}: "
            "store both as uint8 (0 to 255), or both as float32 in [0, 1]"
        )


def _check_classes(name: str, labels: np.ndarray, count: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name}: labels of dtype {labels.dtype}: number the classes from 0, with an integer dtype")
    if labels.shape != (count,):
        raise DataError(
            f"{name}: labels of shape {labels.shape} for {counted(count, 'image')}: give one per image, ({count},)"
        )
    classes = labels.astype(np.int64)
    if classes.min() < 0:
        first = int(np.argmax(classes < 0))
        raise DataError(f"{name}: label {labels[first]} of image {first} is no class: number the classes from 0")


def _hold_out_test(name: str, images: np.ndarray) -> tuple[Int64[Tensor, " rest"], Int64[Tensor, " test"]]:
    count = len(images)
    if count == 1:
        raise DataError(f"{name}: one image alone cannot be trained on and tested: give at least two, or a test part")
    return divide_places(count, max(1, count // TEST_SHARE), random.key(TEST_SEED))


def _all(part: Part) -> Int64[Tensor, " n"]:
    return torch.arange(len(part.images.array))


def _take(part: Part, places: Int64[Tensor, " n"]) -> Split:
    """The images at `places` of a part that has been checked, with their labels."""
    images, labels = part
    taken = None if labels is None else torch.from_numpy(labels.array[places.numpy()].astype(np.int64))
    return Split(_rows(images.array, places.numpy()), taken)


def _rows(images: np.ndarray, places: np.ndarray) -> Pixels:
    """A copy in C order, the only one: what is read may be mapped, read-only, of any width or in any order."""
    width = images[0].size
    rows = np.empty((len(places), width), _kept(images.dtype))
    for piece in batch_slices(len(places), max(1, _PIECE // width)):
        rows[piece] = images[places[piece]].reshape(-1, width)
    if images.dtype == np.bool_:
        rows *= 255
    return torch.from_numpy(rows)


_PIECE = 2**20  # pixels copied at a time, which bounds the memory beside the copy


def _kept(dtype: np.dtype) -> type:
    return np.float32 if dtype.kind == "f" else np.uint8
