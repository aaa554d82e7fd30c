"""The MNIST that comes with the package: the main job runs offline, on the real thing."""

import hashlib
from importlib import resources

import torch
from jaxtyping import UInt8
from torch import Tensor

from vae_fn.data.dataset import Dataset, Split
from vae_fn.data.idx import DataError, parse_idx, read_content

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""The md5 of each uncompressed file, as published with the data set."""

_FOLDER = resources.files("vae_fn.data") / "mnist"


def load_mnist() -> Dataset:
    """MNIST: 60,000 training and 10,000 test images of 784 pixels on the CPU, and no validation split yet.

    Reads the package's own files and compares them with their published checksums.

    Raises:
        DataError: If a file is missing or differs from the published one.
    """
    return Dataset(train=_load_split("train"), validation=None, test=_load_split("t10k"), shape=(28, 28))


def _load_split(prefix: str) -> Split:
    return Split(_load(f"{prefix}-images-idx3-ubyte").flatten(1), _load(f"{prefix}-labels-idx1-ubyte").long())


def _load(name: str) -> UInt8[Tensor, "*sizes"]:
    with resources.as_file(_FOLDER / f"{name}.xz") as path:
        try:
            content = read_content(path)
        except DataError as error:
            raise DataError(f"{path}: MNIST's {name} cannot be read; reinstall the package") from error
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[name]:
        raise DataError(f"{path}: the content is not that of MNIST's {name}; reinstall the package")
    return torch.from_numpy(parse_idx(content, name))
