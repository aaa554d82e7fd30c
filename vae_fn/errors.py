"""What a user can put right, as opposed to a fault of the program, and how a fault is told in a line."""

import errno
import traceback
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any


class UserError(ValueError):
    """A mistake of the user; its message says in one line what to do about it.

    The command line prints the message alone, without a traceback, and ends with exit status 2.
    """


def check_kind(what: str, value: Any, kind: type, instead: str) -> None:
    """Hold an argument against the kind that it must be of.

    A named tuple of one's own with the same fields is another kind: what asks for a type elsewhere would miss it, and
    the functions in it may keep another contract, as those of optax do.

    Args:
        what: what the argument is called.
        value: what was given.
        kind: what it must be.
        instead: what to do, in words.

    Raises:
        TypeError: it is of another.
    """
    if not isinstance(value, kind):
        alike = isinstance(value, tuple) and getattr(value, "_fields", ()) == getattr(kind, "_fields", None)
        own = f"; one of your own that keeps the same contract becomes one by {kind.__name__}(*{what})" if alike else ""
        raise TypeError(f"{what} must be {_article(kind.__name__)}, not {described(value)}: {instead}{own}")


def check_count(what: str, value: Any, least: int = 1) -> None:
    """Hold a number of things against the least that there may be.

    Raises:
        ValueError: it is less, or no whole number.
    """
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{what}={described(value)} is out of range: give a whole number, {least} or more")


NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
"""What a RuntimeError of torch says where there is not enough."""


def lacks_memory(fault: BaseException) -> bool:
    """Whether it says so: torch has a class for it, which is known by its name as torch may not be here, and words."""
    if isinstance(fault, OSError):
        return fault.errno == errno.ENOMEM
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        return True
    return isinstance(fault, RuntimeError) and any(words in str(fault) for words in NO_MEMORY)


def brief(fault: BaseException) -> str:
    """A fault's type and the first line of what it says, cut where that is long."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return f"{type(fault).__name__}: {lines[0]}"[:_LONGEST] if lines else type(fault).__name__


def lines_through(fault: BaseException, among: Callable[[str], bool] = lambda file: True) -> list[tuple[str, int]]:
    """The files, of those that `among` takes, and their lines that a fault came through, the innermost first."""
    frames = reversed(traceback.extract_tb(fault.__traceback__))
    return [(frame.filename, frame.lineno or 0) for frame in frames if among(frame.filename)]


def place(file: str | Path, line: int | None) -> str:
    """A line of a file, in words."""
    return f"{shown(file)}, line {line}"


def shown(file: str | Path) -> str:
    """A path from here, if it is below."""
    here, file = Path.cwd(), Path(file)
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def is_number(value: Any) -> bool:
    """Whether a value is a real number: Python's, numpy's, or an array or a tensor without dimensions."""
    return isinstance(value, Real) or getattr(value, "ndim", None) == 0


def described(value: Any) -> str:
    """A value in a few words: numbers, a few of them and short texts as they are, tensors by shape, others by kind."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, FunctionType | BuiltinFunctionType):
        return f"the function {value.__name__}"
    if value is None or is_number(value) or (isinstance(value, str) and len(value) <= _SHOWN):
        return repr(value)
    if type(value) in (tuple, list) and len(value) <= _SHOWN and all(map(is_number, value)):
        return repr(value)
    kind = _article(type(value).__name__)
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return kind if dtype is None or shape is None else f"{kind} of {dtype} and shape {tuple(shape)}"


_SHOWN, _LONGEST = 40, 300  # letters


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' or name == 'ndarray' else 'a'} {name}"
