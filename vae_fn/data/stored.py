"""Data sets in the order of their files, whatever is held out of them for a test."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from vae_fn import random
from vae_fn.data.arrays import TEST_SEED, Part, make_dataset, make_split
from vae_fn.data.dataset import Dataset, Split, divide_places
from vae_fn.data.idx_folder import find_idx_files
from vae_fn.data.numpy_files import read_numpy
from vae_fn.data.sources import NAMES, load


class Stored(NamedTuple):
    """A data set and the order of its source.

    Attributes:
        dataset: As `load` gives it; but of one image alone, which `load` refuses, both splits are that image.
        order: The place of each image of the source in the training images followed by the test images.
    """

    dataset: Dataset
    order: Int64[Tensor, " n"]


def load_stored(source: str) -> Stored:
    """A data set by its name or path, with the order of its images in the source.

    Raises:
        DataError: As `load`.
    """
    path = Path(os.path.expanduser(source))
    if source in NAMES or not path.is_file():
        dataset = load(source)
        return _ordered(dataset, held_out=source not in NAMES and "test images" not in find_idx_files(path))
    train, test = read_numpy(path)
    if test is None and train.images.array.shape[:1] == (1,):
        return _alone(train)
    return _ordered(make_dataset(train, test), held_out=test is None)


def in_order(stored: Stored) -> Split:
    """All images in the order of the source, with their labels if both splits have some."""
    train, _, test, _ = stored.dataset
    labels = None
    if train.labels is not None and test.labels is not None:
        labels = torch.cat([train.labels, test.labels])[stored.order]
    return Split(torch.cat([train.images, test.images])[stored.order], labels)


def _alone(part: Part) -> Stored:
    split, shape = make_split(part)
    return Stored(Dataset(split, None, split, shape), torch.zeros(1, dtype=torch.int64))


def _ordered(dataset: Dataset, held_out: bool) -> Stored:
    count = len(dataset.test.images)
    places = torch.arange(len(dataset.train.images) + count)
    if held_out:
        places = torch.cat(divide_places(len(places), count, random.key(TEST_SEED)))
    return Stored(dataset, places.argsort())
