"""IDX, the format of MNIST: a big-endian header (dtype, rank, sizes), then the array in C order.

Source: the format's description at http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import lzma
import math
import os
import zlib
from pathlib import Path

import numpy as np

from vae_fn.errors import UserError

DTYPES = {0x08: "uint8", 0x09: "int8", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The dtype that each code in the third byte of the header stands for."""

_DECOMPRESSORS = {b"\x1f\x8b": gzip.decompress, b"\xfd7zXZ\x00": lzma.decompress}


class DataError(UserError):
    """Data that cannot be used; the message names the file and says what to do."""


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, in the machine's byte order and writable.

    Args:
        path: A raw, gzip- or xz-compressed file; which of them is told by its content, whatever its name.

    Raises:
        DataError: If the file cannot be read or decompressed, or is no IDX file of the length that its header states.
    """
    return parse_idx(read_content(path), os.fspath(path))


def read_content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file, decompressed where they begin with the magic bytes of gzip or xz.

    Raises:
        DataError: If the file cannot be read, or its compressed content is truncated or corrupt.
    """
    content = _read_bytes(path)
    for magic, decompress in _DECOMPRESSORS.items():
        if content.startswith(magic):
            try:
                return decompress(content)
            except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
                raise DataError(
                    f"{path}: the compressed content is truncated or corrupt ({error}); get it again"
                ) from error
    return content


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The array that the uncompressed `content` of an IDX file holds; `name` is what errors call it.

    Nothing is allocated before the length is known to fit the header.

    Raises:
        DataError: If `content` does not begin with an IDX header or has not the length that its header states.
    """
    dtype, shape, start = _parse_header(content, name)
    length = start + math.prod(shape) * dtype.itemsize
    if len(content) != length:
        found = "cut short" if len(content) < length else "followed by other bytes"
        raise DataError(
            f"{name}: the array is {found} ({len(content)} bytes where the header, shape {shape} of {dtype.name}, "
            f"means {length}); get the file again"
        )
    try:
        array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:
        raise DataError(f"{name}: numpy cannot hold the shape in the header ({error}); get the file again") from error
    return array.astype(dtype.newbyteorder("="))


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; check the path or download the data") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: this is a directory; name a file in it") from error
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}); check its path and permissions"
        ) from error


def _parse_header(content: bytes, name: str) -> tuple[np.dtype, tuple[int, ...], int]:
    """The dtype, the shape, and where the array starts."""
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] not in DTYPES:
        raise DataError(f"{name}: this is not an IDX file (it begins with {content[:4]!r}); name one, raw, .gz or .xz")
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(f"{name}: the header, of rank {rank}, is cut short; get the file again")
    shape = np.frombuffer(content, ">u4", count=rank, offset=4).tolist()
    return np.dtype(DTYPES[content[2]]), tuple(shape), start
