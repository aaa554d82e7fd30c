"""Published data sets: torchvision downloads them, once, into a cache of IDX folders.

torchvision checks every download against the published md5. A data set is unpacked beside the cache's folders, and its
folder appears complete or not at all.
"""

import os
import ssl
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.error import URLError

from vae_fn.data.dataset import Dataset, Split
from vae_fn.data.idx import DataError
from vae_fn.data.idx_folder import find_idx_files, load_idx_folder


class Published(NamedTuple):
    """A data set that torchvision downloads.

    Attributes:
        dataset: The name of its class in `torchvision.datasets`.
        arguments: The further arguments of the class.
        files: The pattern of the IDX files that are kept.
        corrected: From the data set as published to the one that is loaded.
    """

    dataset: str
    arguments: dict[str, str]
    files: str
    corrected: Callable[[Dataset], Dataset]


def upright(dataset: Dataset) -> Dataset:
    """The data set with rows and columns of every image exchanged."""
    height, width = dataset.shape

    def turned(split: Split) -> Split:
        return split._replace(images=split.images.unflatten(1, (height, width)).mT.flatten(1))

    return Dataset(turned(dataset.train), None, turned(dataset.test), (width, height))


def _as_published(dataset: Dataset) -> Dataset:
    return dataset


PUBLISHED = {
    "fashion-mnist": Published("FashionMNIST", {}, "*-ubyte", _as_published),
    "kmnist": Published("KMNIST", {}, "*-ubyte", _as_published),
    "emnist": Published("EMNIST", {"split": "balanced"}, "emnist-balanced-*-ubyte", upright),
}
"""The data sets by name.

EMNIST is its `balanced` split, 112,800 and 18,800 images of 47 classes of digits and letters. Its images are published
transposed, and put upright here.
"""


def load_published(name: str) -> Dataset:
    """A data set of `PUBLISHED`, from the cache, or downloaded into it.

    Args:
        name: The data set's name, which is also that of its folder in the cache. A folder of IDX files put there by
            hand does instead of a download.

    Raises:
        DataError: If it cannot be downloaded, the cache cannot be written, or what it holds is damaged.
    """
    published, folder = PUBLISHED[name], cache_folder() / name
    if not os.path.exists(folder):  # unlike Path.exists, False where it is not allowed to look
        _download(name, published, folder)
    try:
        if len(find_idx_files(folder)) < 4:
            raise DataError(f"{folder}: images and labels of train and t10k are needed, four files")
        return published.corrected(load_idx_folder(folder))
    except DataError as error:
        raise DataError(f"{error}; without this folder it would be downloaded again") from error


def cache_folder() -> Path:
    """`$VAE_FN_CACHE`, or else `vae_fn` in `$XDG_CACHE_HOME`, or else in `~/.cache`.

    Raises:
        DataError: If none is set and the user has no home.
    """
    if own := os.environ.get("VAE_FN_CACHE"):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "vae_fn"
    try:
        return Path.home() / ".cache" / "vae_fn"
    except RuntimeError as error:
        raise DataError("there is no home folder to cache data sets in: name a folder in VAE_FN_CACHE") from error


_NO_DOWNLOAD = (URLError, ConnectionError, TimeoutError, ssl.SSLError, HTTPException, RuntimeError, ImportError)


def _download(name: str, published: Published, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".download-") as temporary:
            _move(_unpack(published, temporary), folder)
    except _NO_DOWNLOAD as error:
        raise DataError(
            f"{name} is not in {folder} and cannot be downloaded ({' '.join(str(error).split())}): "
            "put its IDX files there, or name a folder that has them, as in --data FOLDER"
        ) from error
    except OSError as error:
        raise DataError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror or error}): "
            "name another in VAE_FN_CACHE"
        ) from error


def _unpack(published: Published, temporary: str) -> Path:
    """Download into a folder, and return the folder in it that holds the IDX files that are kept."""
    from torchvision import datasets

    raw = Path(getattr(datasets, published.dataset)(temporary, download=True, **published.arguments).raw_folder)
    kept = Path(temporary) / "kept"
    kept.mkdir()
    for path in raw.glob(published.files):
        path.rename(kept / path.name)
    return kept


def _move(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process may have been first
            raise
