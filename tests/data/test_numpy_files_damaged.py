"""`.npy` and `.npz` files that lie, break off or hold objects: each is refused, and nothing in them is run."""

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.files import check_refused, npy, npz, written
from vae_fn.data import DataError
from vae_fn.data.numpy_files import load_numpy

TRAIN, TEST = np.arange(1, 13, dtype="u1").reshape(3, 2, 2), np.arange(9, 17, dtype="u1").reshape(2, 2, 2)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("numpy") / "file"


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def check_runs_nothing(load, path: Path, trap: Path):
    objects = np.array([[Trap(trap)]], object)
    for content in (npy(objects), npz(x=objects), npz(x_train=objects), pickle.dumps(Trap(trap))):
        check_refused(load, written(path, content))
        assert not trap.exists(), "the file's code was run"


def test_pickled_objects_are_refused_and_not_run(file, tmp_path):
    check_runs_nothing(load_numpy, file, tmp_path / "trap")
    check_refused(load_numpy, written(file, npy(np.array([[None]]))), "numeric dtype", "without objects")


def test_a_reader_that_unpickles_is_caught(file, tmp_path):
    def trusting(path: Path):
        np.load(path, allow_pickle=True)
        return load_numpy(path)

    with pytest.raises(AssertionError, match="code was run"):
        check_runs_nothing(trusting, file, tmp_path / "trap")


CONTENTS = {"npy": npy(TRAIN), "npz": npz(x_train=TRAIN, x_test=TEST), "packed": npz(np.savez_compressed, x=TRAIN)}


@pytest.mark.parametrize("kind", CONTENTS)
def test_every_truncation_is_refused(file, kind):
    for length in range(len(CONTENTS[kind])):
        check_refused(load_numpy, written(file, CONTENTS[kind][:length]))


def test_a_reader_that_takes_what_there_is_is_caught(file):
    with pytest.raises(AssertionError):
        check_refused(lambda path: np.frombuffer(path.read_bytes(), "u1"), written(file, CONTENTS["npy"][:-1]))


@given(kind=st.sampled_from(sorted(CONTENTS)), data=st.data())
def test_a_damaged_file_is_refused_or_read(file, kind, data):
    content = bytearray(CONTENTS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = written(file, bytes(content))
    try:
        load_numpy(path)
    except DataError:
        check_refused(load_numpy, path)


def test_bytes_after_the_array_are_refused(file):
    check_refused(load_numpy, written(file, npy(TRAIN) + npy(TEST)), "other bytes follow", ".npz")


def test_what_is_neither_kind_is_refused(file):
    for content in (b"", b"text", b"\x89PNG\r\n\x1a\n"):
        check_refused(load_numpy, written(file, content), "neither a .npy nor a .npz", repr(content[:6]))


def test_a_member_that_is_no_array_is_refused(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", b"no array")
    check_refused(load_numpy, file, "images is no array")


def test_a_file_that_may_not_be_read_is_named(file, monkeypatch):
    def denied(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    check_refused(load_numpy, file, "Permission denied", "check its permissions")


def lying_header() -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**30}, 2), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"few"


def check_allocates_nothing(load, path: Path):
    tracemalloc.start()
    try:
        check_refused(load, path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_lying_npy_header_allocates_nothing(file):
    check_allocates_nothing(load_numpy, written(file, lying_header()))


def test_a_reader_that_trusts_the_header_is_caught(file):
    def trusting(path: Path):
        np.empty(2**24, "u1")
        return load_numpy(path)

    with pytest.raises(AssertionError):
        check_allocates_nothing(trusting, written(file, lying_header()))


def test_a_lying_header_in_an_npz_is_refused(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", lying_header())
    check_refused(load_numpy, file, "get the file again")


def test_an_encrypted_archive_is_refused(file):
    content = CONTENTS["npz"]
    for start in [at for at in range(len(content)) if content.startswith(b"PK\x01\x02", at)]:
        content = content[: start + 8] + b"\x01" + content[start + 9 :]  # the flag in the directory
    check_refused(load_numpy, written(file, content), "encrypted")
