"""Data resident in memory: splits of uint8 rows, a validation split held out of them, and the order of an epoch."""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from vae_fn import random
from vae_fn.types import Key


class Split(NamedTuple):
    """Images and their labels.

    Attributes:
        images: Pixel intensities from 0 to 255, a flat row per image.
        labels: The class of each image.
    """

    images: UInt8[Tensor, "n d"]
    labels: Int64[Tensor, " n"]


class Dataset(NamedTuple):
    """The splits of a data set.

    Attributes:
        train: What the parameters are fitted to.
        validation: What settings are chosen by, or None where nothing was held out.
        test: What is reported, and nothing else.
    """

    train: Split
    validation: Split | None
    test: Split


def hold_out(dataset: Dataset, count: int, key: Key) -> Dataset:
    """The data set with `count` training images, chosen at random by `key`, as its validation split.

    Both parts keep the order of the training split. A count of 0 holds out nothing: `validation` stays None.

    Raises:
        ValueError: If `count` is negative or leaves no training image, or a validation split exists already.
    """
    train = dataset.train
    total = len(train.images)
    if dataset.validation is not None:
        raise ValueError("the data set has a validation split already: hold out once, from the data set as loaded")
    if not 0 <= count < total:
        raise ValueError(f"cannot hold out {count} of {total} training images: choose from 0 to {total - 1}")
    if count == 0:
        return dataset
    held_out, kept = random.permutation(key, total).to(train.images.device).tensor_split([count])
    return dataset._replace(train=_rows(train, kept), validation=_rows(train, held_out))


def _rows(split: Split, indices: Int64[Tensor, " n"]) -> Split:
    """The rows of a split at `indices`, in the order of the split."""
    rows = indices.sort().values
    return Split(split.images[rows], split.labels[rows])


def scale(pixels: UInt8[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Pixel intensities in [0, 1]: 0 becomes 0 and 255 becomes 1, both exactly."""
    return pixels.to(torch.float32) / 255


def epoch_order(key: Key, epoch: int, n: int) -> Int64[Tensor, " n"]:
    """The order in which an epoch visits `n` images, each once: its own permutation for every epoch of a key."""
    return random.permutation(random.fold_in(key, epoch), n)


def batch_slices(n: int, batch_size: int) -> list[slice]:
    """The slices that cut `n` images into batches; a short last batch is kept.

    Raises:
        ValueError: If `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"a batch needs at least one image, got a batch size of {batch_size}")
    return [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
