"""`.npy` and `.npz` files as data sets. Nothing in them is ever run: pickled objects are refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vae_fn.data.arrays import Named, Part, make_dataset
from vae_fn.data.dataset import Dataset
from vae_fn.data.idx import DataError

KEYS = (
    (("x_train", "y_train"), ("x_test", "y_test")),
    (("train", "train_labels"), ("test", "test_labels")),
    (("images", "labels"),),
)
"""The understood keys of an .npz: images and labels of the training part, then of the test part.

Labels and test part may be missing. A single array may have any other name.
"""

_NPY, _ZIP = b"\x93NUMPY", b"PK"


def load_numpy(path: Path) -> Dataset:
    """The data set in a .npy or .npz file, told apart by content.

    A file without a test part has one held out, as `make_dataset` says.

    Args:
        path: An array `(n, ...)`, or an archive of such arrays under the keys in `KEYS`.

    Raises:
        DataError: If the file cannot be read, is neither kind, has other keys, or holds what is no images or labels.
    """
    return make_dataset(*read_numpy(path))


def read_numpy(path: Path) -> tuple[Part, Part | None]:
    """The training part of a .npy or .npz file and its test part, if it has one, as they were read.

    Raises:
        DataError: If the file cannot be read, is neither kind, or has other keys.
    """
    with _reading(path):
        return _read(path)


def _read(path: Path) -> tuple[Part, Part | None]:
    with path.open("rb") as file:
        magic = file.read(len(_NPY))
        file.seek(0)
        if magic.startswith(_ZIP):
            with np.load(file, allow_pickle=False) as archive:
                return _read_npz(path, archive)
    if magic == _NPY:
        return Part(Named(str(path), _read_npy(path)), None), None
    raise DataError(
        f"{path}: neither a .npy nor a .npz file (it begins with {magic!r}): name one, or a folder of IDX files"
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever fails while a file is read is one error: what damage raises is any of a dozen, from zlib to tokenize."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror or error}); check its permissions"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: no plain array of numbers can be read ({reason}); "
            "get the file again, or save it with a numeric dtype, without objects"
        ) from error


def _read_npy(path: Path) -> np.ndarray:
    """The array, mapped, so that a header that promises more than there is allocates nothing."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.offset + array.nbytes != path.stat().st_size:
        raise DataError(f"{path}: other bytes follow the array: save one array a file, or several as .npz")
    return array


def _read_npz(path: Path, archive: np.lib.npyio.NpzFile) -> tuple[Part, Part | None]:
    names = _names(path, archive.files)
    train, *test = (
        Part(
            Named(f"{path}: {images}", _member(path, archive, images)),
            Named(f"{path}: {labels}", _member(path, archive, labels)) if labels in archive.files else None,
        )
        for images, labels in names
        if images in archive.files
    )
    return train, test[0] if test else None


def _member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    member = archive[key]
    if not isinstance(member, np.ndarray):
        raise DataError(f"{path}: {key} is no array: write the file with numpy.savez")
    return member


def _names(path: Path, found: Sequence[str]) -> Sequence[tuple[str, str]]:
    """The names of images and labels, part by part, that explain all the keys found."""
    for parts in KEYS:
        images = {name for name, _ in parts}
        of_labels = {labels for name, labels in parts if name in found}
        if parts[0][0] in found and set(found) <= images | of_labels:
            return parts
    understood = [[name for part in parts for name in part] for parts in KEYS]
    if len(found) == 1 and not any(found[0] in names for names in understood):
        return [(found[0], "")]
    raise DataError(
        f"{path}: the keys are {', '.join(sorted(found)) or 'none'}: use {'; or '.join(map(', '.join, understood))} "
        "(labels and test part may be missing); or a single array"
    )
