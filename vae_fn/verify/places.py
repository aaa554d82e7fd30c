"""Which line of the user's code something raised."""

import sysconfig
from collections.abc import Callable
from pathlib import Path

import vae_fn
from vae_fn.errors import brief, lines_through, place

PACKAGE = Path(vae_fn.__file__).parent


def raised(error: Exception, fn: Callable | None = None, own: Path | None = None) -> str:
    """The first line of what an error says, with `users_line` in brackets where there is one."""
    line = users_line(error, fn, own)
    return brief(error) if line is None else f"{brief(error)} ({line})"


def users_line(error: Exception, fn: Callable | None = None, own: Path | None = None) -> str | None:
    """The file and the line of the user's code that an error came through last, or else where a function of it begins.

    Args:
        error: what was raised.
        fn: a function of the user's.
        own: a file that is the user's wherever it lies: the one that defines what is verified.

    Returns:
        None where there is no code of the user's.
    """
    code = getattr(fn, "__code__", None)
    defined = [] if code is None else [(code.co_filename, code.co_firstlineno)]
    lines = (*lines_through(error), *defined)
    return next((place(file, line) for file, line in lines if _is_users(Path(file), own)), None)


def _is_users(file: Path, own: Path | None) -> bool:
    """Whether it is that one, or a file that is neither installed, nor Python's, nor of this package."""
    if not file.is_file():  # as "<string>" is none
        return False
    others = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(sysconfig.get_path("stdlib"))
    return file.resolve() == own or not (others or file.is_relative_to(PACKAGE))
