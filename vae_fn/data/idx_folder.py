"""A folder of IDX files, named as MNIST's, as a data set."""

import re
from pathlib import Path

from vae_fn.data.arrays import Named, Part, make_dataset
from vae_fn.data.dataset import Dataset
from vae_fn.data.idx import DataError, read_idx

_NAME = re.compile(r"(?P<stem>(?P<set>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d-\w+)(\.gz|\.xz)?")
_PARTS = {"train": "train", "t10k": "test", "test": "test"}


def load_idx_folder(folder: Path) -> Dataset:
    """The data set in a folder of IDX files, each raw, .gz or .xz.

    A folder without test images has some of the others held out, as `make_dataset` says.

    Args:
        folder: It holds `train-images-idx3-ubyte` and, if there are such, `train-labels-idx1-ubyte`,
            `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`. `test` may stand for `t10k`, `.idx3` for `-idx3`,
            and the name of the data set before all of them, as in `emnist-balanced-train-images-idx3-ubyte`.

    Raises:
        DataError: If the folder cannot be read, images are missing, it holds several data sets, or a file is no IDX
            file, or holds what is no images or labels.
    """
    files = find_idx_files(folder)
    _check_files(folder, files)
    return make_dataset(_read(files, "train"), _read(files, "test") if "test images" in files else None)


def find_idx_files(folder: Path) -> dict[str, Path]:
    """The IDX files of a folder by what they hold, "train images" to "test labels".

    Of a file beside its own compressed form the raw one is taken.

    Raises:
        DataError: If the folder cannot be read, or two files claim to hold the same.
    """
    matches = [match for name in _listing(folder) if (match := _NAME.fullmatch(name))]
    sets = {match["set"] for match in matches}
    if len(sets) > 1:
        raise DataError(f"{folder}: files of several data sets ({_quoted(sets)}): give each a folder of its own")
    stems: dict[str, str] = {}
    files: dict[str, Path] = {}
    for match in matches:
        what = f"{_PARTS[match['part']]} {match['kind']}"
        if stems.setdefault(what, match["stem"]) != match["stem"]:
            raise DataError(f"{folder}: {stems[what]} and {match['stem']} both claim to be the {what}: keep one")
        files.setdefault(what, folder / match[0])
    return files


def _check_files(folder: Path, files: dict[str, Path]) -> None:
    for part, name in (("train", "train"), ("test", "t10k")):
        needed = part == "train" or f"{part} labels" in files
        if needed and f"{part} images" not in files:
            raise DataError(
                f"{folder}: {name}-images-idx3-ubyte (or .gz, .xz) is missing; "
                f"the folder holds {_quoted(_listing(folder)[:8]) or 'nothing'}"
            )


def _listing(folder: Path) -> list[str]:
    """The names in a folder, sorted, so that a raw file comes before its compressed forms."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror}); check its permissions") from error


def _read(files: dict[str, Path], part: str) -> Part:
    images, labels = files[f"{part} images"], files.get(f"{part} labels")
    return Part(_read_named(images), None if labels is None else _read_named(labels))


def _read_named(path: Path) -> Named:
    return Named(str(path), read_idx(path))


def _quoted(names: set[str] | list[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
