"""Data resident in memory: splits of flat rows, a validation split held out of them, and the order of an epoch."""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.errors import check_count
from vae_fn.types import Key, Pixels, Shape


class Split(NamedTuple):
    """Images and their labels.

    Attributes:
        images: Pixel intensities, a flat row `(n, d)` per image: uint8 from 0 to 255, or float32 in [0, 1].
        labels: The class of each image, `(n,)`, or None where there are no classes.
    """

    images: Pixels
    labels: Int64[Tensor, " n"] | None


class Dataset(NamedTuple):
    """The splits of a data set.

    Attributes:
        train: What the parameters are fitted to.
        validation: What settings are chosen by, or None where nothing was held out.
        test: What is reported, and nothing else.
        shape: The shape that one image had before it was made a row: (h, w), (h, w, c), (c, h, w) or (d,).
    """

    train: Split
    validation: Split | None
    test: Split
    shape: Shape


def to_device(dataset: Dataset, device: torch.device | str) -> Dataset:
    """The data set with its tensors on a device."""
    train, validation, test = (tree.map(lambda leaf: leaf.to(device), split) for split in dataset[:3])
    return Dataset(train, validation, test, dataset.shape)


def hold_out(dataset: Dataset, count: int, key: Key) -> Dataset:
    """The data set with `count` training images, chosen at random by `key`, as its validation split.

    Both parts keep the order of the training split. A count of 0 holds out nothing: `validation` stays None.

    Raises:
        ValueError: If `count` is no whole number, is negative or leaves no training image, or a validation split
            exists already.
    """
    check_count("count", count, 0)
    total = len(dataset.train.images)
    if dataset.validation is not None:
        raise ValueError("the data set has a validation split already: hold out once, from the data set as loaded")
    if count >= total:
        raise ValueError(f"cannot hold out {count} of {total} training images: choose from 0 to {total - 1}")
    if count == 0:
        return dataset
    train, validation = divide(dataset.train, count, key)
    return dataset._replace(train=train, validation=validation)


def divide(split: Split, count: int, key: Key) -> tuple[Split, Split]:
    """A split without `count` images that `key` chooses at random, and these; both in the order of the split."""
    rest, chosen = divide_places(len(split.images), count, key)
    return _rows(split, rest), _rows(split, chosen)


def divide_places(n: int, count: int, key: Key) -> tuple[Int64[Tensor, " rest"], Int64[Tensor, " chosen"]]:
    """The places of `n` images without `count` that `key` chooses at random, and these; both rising."""
    chosen, rest = random.permutation(key, n).tensor_split([count])
    return rest.sort().values, chosen.sort().values


def _rows(split: Split, places: Int64[Tensor, " n"]) -> Split:
    return tree.map(lambda leaf: leaf[places.to(leaf.device)], split)


def scale(pixels: Pixels) -> Float32[Tensor, "..."]:
    """Pixel intensities in [0, 1]: of uint8, 0 becomes 0 and 255 becomes 1, both exactly; floats are in it already."""
    return pixels if pixels.is_floating_point() else pixels.to(torch.float32) / 255


def epoch_order(key: Key, epoch: int, n: int) -> Int64[Tensor, " n"]:
    """The order in which an epoch visits `n` images, each once: its own permutation for every epoch of a key."""
    return random.permutation(random.fold_in(key, epoch), n)


def batch_slices(n: int, batch_size: int) -> list[slice]:
    """The slices that cut `n` images into batches; a short last batch is kept.

    Raises:
        ValueError: If `batch_size` is not positive, `n` is negative, or one is no whole number.
    """
    check_count("n", n, 0)
    check_count("batch_size", batch_size)
    return [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
