"""A data set by its name or path."""

import difflib
import os
import stat
from pathlib import Path

from vae_fn.data.dataset import Dataset
from vae_fn.data.downloads import PUBLISHED, load_published
from vae_fn.data.embedded import load_mnist
from vae_fn.data.idx import DataError
from vae_fn.data.idx_folder import load_idx_folder
from vae_fn.data.numpy_files import load_numpy
from vae_fn.errors import described

NAMES = ("mnist", *PUBLISHED)
"""The data sets that have a name: MNIST comes with the package, the others are downloaded on first use."""


def load(source: str) -> Dataset:
    """A data set on the CPU, without a validation split yet.

    Args:
        source: One of `NAMES`, or the path of a folder of IDX files, a .npy or a .npz. A name comes before a path:
            write `./mnist` for a folder of that name.

    Raises:
        DataError: If there is no such data set, or it cannot be read or used.
        TypeError: If the source is no text and no path.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"a data set is loaded by its name or path, not from {described(source)}: rows of pixels in memory are "
            "trained on as they are, in training.Batch"
        )
    if source == "mnist":
        return load_mnist()
    if source in PUBLISHED:
        return load_published(source)
    path = Path(os.path.expanduser(source))
    mode = _mode(source)
    if stat.S_ISDIR(mode):
        return load_idx_folder(path)
    if stat.S_ISREG(mode):
        return load_numpy(path)
    raise DataError(f"{path}: neither a file nor a folder: name a .npy, a .npz or a folder of IDX files")


def _mode(source: str) -> int:
    try:
        return os.stat(os.path.expanduser(source)).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(_unknown(source)) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{source!r}: the path cannot be read ({reason}); check it and its permissions") from error


def _unknown(source: str) -> str:
    nearest = difflib.get_close_matches(Path(source).name.lower(), NAMES, n=1)
    suggestion = f"did you mean {nearest[0]}? The" if nearest else "the"
    return (
        f"there is no data set, file or folder {source!r}: {suggestion} names are {', '.join(NAMES)}; "
        "else give the path of a .npy, a .npz or a folder of IDX files"
    )
