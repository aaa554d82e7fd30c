"""Arrays as they come from outside, and what is said of those that are refused."""

import numpy as np

from vae_fn.data import DataError
from vae_fn.data.arrays import Named, Part

LEVELS = ["u1", "?"]
KINDS = [*LEVELS, "f2", "<f4", ">f4", "<f8", ">f8"]
ONES = np.ones((4, 2, 2), np.float32)


def part(images, labels=None) -> Part:
    return Part(Named("the images", images), None if labels is None else Named("the labels", labels))


def intensities(seed: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 256, shape)
    levels.flat[0] = 255
    if kind == "u1":
        return levels.astype(kind)
    return levels > 127 if kind == "?" else (levels / 255).astype(kind)


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
