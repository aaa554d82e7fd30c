"""The IDX reader against `struct`, and against every way in which a file can be wrong."""

import gzip
import lzma
import math
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_fn.data.idx import DataError, read_idx

CODES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
ENCODERS = {"raw": bytes, "gz": gzip.compress, "xz": lzma.compress}


def header(code: int, shape: tuple[int, ...]) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, code, len(shape), *shape)


def encode(array: np.ndarray) -> bytes:
    code = next(code for code, dtype in CODES.items() if np.dtype(dtype) == array.dtype)
    return header(code, array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


@st.composite
def arrays(draw) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(sorted(CODES.values()))))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=6)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return np.frombuffer(generator.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def check_same(array: np.ndarray, expected: np.ndarray):
    assert array.dtype == expected.dtype
    assert array.dtype.isnative
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()
    assert array.flags.writeable


def check_refused(read, path: Path) -> str:
    message = refusal(read, path)
    assert message is not None, "the file was not refused"
    assert str(path) in message
    assert "\n" not in message
    return message


def refusal(read, path: Path) -> str | None:
    try:
        read(path)
    except DataError as error:
        return str(error)
    return None


@given(array=arrays(), encoding=st.sampled_from(sorted(ENCODERS)))
def test_every_dtype_and_rank_in_every_encoding(file, array, encoding):
    check_same(read_idx(written(file, ENCODERS[encoding](encode(array)))), array)


def test_a_reader_that_forgets_the_byte_order_is_caught(file):
    array = np.arange(6, dtype="i4").reshape(2, 3)
    content = encode(array)
    with pytest.raises(AssertionError):
        check_same(np.frombuffer(content, "<i4", offset=12).reshape(2, 3).copy(), array)


def test_rank_sixty_four(file):
    array = np.array([7], "u1").reshape((1,) * 64)
    check_same(read_idx(written(file, encode(array))), array)


@given(array=arrays(), encoding=st.sampled_from(sorted(ENCODERS)), part=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_refused(file, array, encoding, part):
    content = ENCODERS[encoding](encode(array))
    check_refused(read_idx, written(file, content[: int(part * len(content))]))


@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_single_truncation_of_one_file_is_refused(file, encoding):
    content = ENCODERS[encoding](encode(np.arange(30, dtype="f8").reshape(5, 6)))
    for length in range(len(content)):
        check_refused(read_idx, written(file, content[:length]))


def read_leniently(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), "u1", offset=8)


def test_a_reader_that_takes_what_there_is_is_caught(file):
    content = encode(np.arange(10, dtype="u1"))
    with pytest.raises(AssertionError):
        check_refused(read_leniently, written(file, content[:-1]))


def interpreted(content: bytes) -> np.ndarray | None:
    """What a raw IDX file holds, by `struct`, or None where it is not one, or none that numpy holds."""
    zeros, code, rank = struct.unpack_from(">HBB", content)
    if zeros or code not in CODES or len(content) < 4 + 4 * rank:
        return None
    shape = struct.unpack_from(f">{rank}I", content, 4)
    dtype, body = np.dtype(CODES[code]), content[4 + 4 * rank :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        return None
    if rank > 64 or math.prod(size for size in shape if size) * dtype.itemsize >= 2**63:
        return None
    return np.frombuffer(body, dtype.newbyteorder(">")).astype(dtype).reshape(shape)


@given(array=arrays(), data=st.data())
def test_a_wrong_header_is_refused_or_read_as_what_it_says(file, array, data):
    content = bytearray(encode(array))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 3 + 4 * array.ndim))] = data.draw(st.integers(0, 255))
    expected = interpreted(bytes(content))
    path = written(file, bytes(content))
    if expected is None:
        check_refused(read_idx, path)
    else:
        check_same(read_idx(path), expected)


@given(array=arrays(), encoding=st.sampled_from(["gz", "xz"]), data=st.data())
def test_a_flipped_bit_of_a_compressed_file_is_refused_or_harmless(file, array, encoding, data):
    content = bytearray(ENCODERS[encoding](encode(array)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = written(file, bytes(content))
    try:
        result = read_idx(path)
    except DataError:
        check_refused(read_idx, path)
    else:
        check_same(result, array)


def check_allocates_nothing(read, path: Path):
    tracemalloc.start()
    try:
        check_refused(read, path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def read_trustingly(path: Path) -> np.ndarray:
    np.empty(struct.unpack_from(">I", path.read_bytes(), 4)[0], "u1")
    return read_idx(path)


@pytest.mark.parametrize("shape", [(2**31,), (2**32 - 1,) * 2, (2**32 - 1,) * 3, (2**32 - 1,) * 20])
def test_a_lying_header_allocates_nothing(file, shape):
    check_allocates_nothing(read_idx, written(file, header(0x08, shape) + b"few"))


def test_a_reader_that_trusts_the_header_is_caught(file):
    with pytest.raises(AssertionError):
        check_allocates_nothing(read_trustingly, written(file, header(0x08, (2**24,)) + b"few"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file"),
        (b"PK\x03\x04 a zip archive", "not an IDX file"),
        (header(0x0A, ()), "not an IDX file"),
        (header(0x08, (2, 3))[:-1], "header"),
        (header(0x08, (2, 3)) + b"five!", "cut short"),
        (header(0x08, (2, 3)) + b"seven!!", "followed by other bytes"),
        (header(0x08, (1,) * 100) + b"1", "numpy cannot hold"),
        (header(0x08, (0, *(2**32 - 1,) * 3)), "numpy cannot hold"),
        (b"\x1f\x8b" + bytes(20), "truncated or corrupt"),
        (b"\xfd7zXZ\x00" + bytes(20), "truncated or corrupt"),
    ],
)
def test_what_is_wrong_is_named(file, content, words):
    assert words in check_refused(read_idx, written(file, content))


def test_files_that_cannot_be_read_are_named(file, tmp_path, monkeypatch):
    written(file, b"")
    assert "no such file" in check_refused(read_idx, tmp_path / "missing")
    assert "directory" in check_refused(read_idx, tmp_path)
    assert "cannot be read" in check_refused(read_idx, file / "below")

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "Permission denied" in check_refused(read_idx, file)


def test_a_path_may_be_a_string(file):
    array = np.arange(3, dtype="i2")
    check_same(read_idx(str(written(file, encode(array)))), array)
