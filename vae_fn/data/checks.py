"""What can be wrong with images from outside: each fault is one line that names the file and says what to do."""

import numpy as np

from vae_fn.data.idx import DataError
from vae_fn.words import counted

ALL_BLACK = "the brightest uint8 pixel is 1 of 255, so all would be black: multiply by 255"
"""What is wrong with bits that are given as levels, in files and in memory."""


def advice_on_range(low: float, high: float, bytes_instead: str) -> str:
    """What to do about floats from `low` to `high`, outside [0, 1]: what looks like levels may be bytes instead."""
    return f"divide by 255, or {bytes_instead}" if low >= 0 and 2 < high <= 255 else "scale or clip them to it"


def check_images(name: str, images: np.ndarray) -> None:
    """Check that an array is intensities of shape `(n, ...)`; nothing of its size is allocated unless it is refused.

    Args:
        name: What errors call it.
        images: The array.

    Raises:
        DataError: If it is not.
    """
    _check_dtype(name, images)
    _check_shape(name, images)
    if images.dtype == np.uint8:
        _check_levels(name, images)
    if images.dtype.kind == "f":
        _check_finite(name, images)
        _check_range(name, images)


def check_bright(name: str, images: np.ndarray) -> None:
    """Check that images, sound by `check_images`, hold something to train on.

    Raises:
        DataError: If all are black, or floats nowhere brighter than one level of uint8.
    """
    brightest = images.max()
    if brightest == 0:
        raise DataError(f"{name}: every training image is black, all pixels 0: check how the file was written")
    if images.dtype.kind == "f" and brightest <= images.dtype.type(1 / 255):
        raise DataError(
            f"{name}: the brightest training pixel is {brightest!s}, at most 1/255, as if scaled twice: "
            "divide by 255 only once"
        )


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
        raise DataError(f"{name}: {ALL_BLACK}, or store as bool or float32")


def _check_finite(name: str, images: np.ndarray) -> None:
    if np.isfinite(images.min()) and np.isfinite(images.max()):  # NaN would be both
        return
    finite = np.isfinite(images)
    first = int(np.argmin(finite.reshape(len(images), -1).all(axis=1)))
    count = finite.size - int(np.count_nonzero(finite))
    found = f"{counted(count, 'pixel')} {'is' if count == 1 else 'are'} NaN or infinite"
    raise DataError(f"{name}: {found}, the first in image {first}: mend or remove such images")


def _check_range(name: str, images: np.ndarray) -> None:
    low, high = images.min(), images.max()
    if low >= 0 and high <= 1:
        return
    advice = advice_on_range(float(low), float(high), "store as uint8")
    raise DataError(f"{name}: float images from {low!s} to {high!s}, outside [0, 1]: {advice}")
