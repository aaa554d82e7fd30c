"""Tensors with a record beside them, in one safetensors file with a checksum over both.

The tensors stand there under their paths, as in `state/params/encoder/0.weight`; the record is JSON in the metadata.
"""

import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Shape, Tree

Value = TypeVar("Value")

FORMAT = 1
"""Version of the format; a newer one is refused."""

MOST_PIXELS = 2**31
"""Of an image; sizes made of more do not fit into 64 bits."""


class BrokenError(Exception):
    """Why a file cannot be used, in words that follow its name."""


def seal(tensors: Tree, record: Mapping[str, Any]) -> bytes:
    """What a file holds of tensors and a record, which JSON can write."""
    named = {name: leaf.detach().cpu().contiguous() for name, leaf in tree.flat_names(tensors).items()}
    header = {"format": FORMAT, "checksum": checksum(named, record), "record": record}
    return save(named, metadata={"vae_fn": json.dumps(header)})


def unseal(path: Path, what: str, parse: Callable[[Any], Value]) -> tuple[dict[str, Tensor], Value]:
    """The tensors of a file by name, and its record.

    Args:
        path: the file.
        what: it is, for the message that it is not.
        parse: makes the record of what JSON has read, or raises a LookupError, TypeError, ValueError or OverflowError.

    Raises:
        FileNotFoundError: there is no such file.
        BrokenError: it is truncated, damaged, foreign or of a newer version.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["vae_fn"])
            if header["format"] > FORMAT:
                raise BrokenError("was written by a newer version of vae_fn: update it")
            expected, content = header["checksum"], header["record"]
            record = parse(content)
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError) as fault:
        raise BrokenError(f"is truncated or cannot be read ({fault})") from fault
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as fault:
        raise BrokenError(f"is not a {what} of vae_fn") from fault
    if checksum(stored, content) != expected:
        raise BrokenError("is damaged: its checksum is wrong")
    return stored, record


def checksum(named: Mapping[str, Tensor], record: Mapping[str, Any]) -> int:
    """CRC-32 over a record and then tensors in the order of their names."""
    value = zlib.crc32(json.dumps(record, sort_keys=True).encode())
    for name in sorted(named):
        value = zlib.crc32(named[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return value


def count(value: Any) -> int:
    """The value, if it is a count.

    Raises:
        ValueError: it is something else.
    """
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"not a count: {value!r}")
    return value


def image_shape(value: Any) -> Shape:
    """The shape of an image.

    Raises:
        ValueError: the value is none, or of an image that is too large to be one.
    """
    shape = tuple(map(count, value))
    if not 1 <= math.prod(shape) <= MOST_PIXELS or not shape:
        raise ValueError(f"not the shape of an image: {value!r}")
    return shape
