"""IDX and numpy files written by hand, and how one that cannot be used is refused."""

import gzip
import io
import lzma
import struct
from pathlib import Path

import numpy as np

from vae_fn.data import DataError

ENCODERS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def idx(array: np.ndarray) -> bytes:
    """An IDX file of uint8."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an IDX file, compressed as its name says."""
    suffix = path.suffix if path.suffix in ENCODERS else ""
    path.write_bytes(ENCODERS[suffix](idx(array)))


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def mnist_like(n: int = 12, m: int = 5, height: int = 4, width: int = 3) -> dict[str, np.ndarray]:
    """The four arrays of a data set, by the names of its files."""
    return {
        "train-images-idx3-ubyte": pixels(0, n, height, width),
        "train-labels-idx1-ubyte": np.arange(n),
        "t10k-images-idx3-ubyte": pixels(1, m, height, width),
        "t10k-labels-idx1-ubyte": np.arange(m)[::-1],
    }


def write_folder(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for name, array in arrays.items():
        write_idx(folder / name, array)
    return folder


def check_arrays(dataset, arrays: dict[str, np.ndarray]) -> None:
    """The data set is that of the four arrays."""
    train_images, train_labels, test_images, test_labels = arrays.values()
    for split, images, labels in (
        (dataset.train, train_images, train_labels),
        (dataset.test, test_images, test_labels),
    ):
        assert np.array_equal(split.images.unflatten(1, dataset.shape).numpy(), images)
        assert split.labels.tolist() == labels.tolist()
    assert dataset.validation is None


def check_refused(load, path: Path, *words: str) -> None:
    """One line that begins with the path and has the words."""
    try:
        load(path)
    except DataError as error:
        message = str(error)
    else:
        raise AssertionError(f"{path} was not refused")
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(save=np.savez, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
