"""Which line of the user's code something raised."""

import sysconfig
from collections.abc import Callable
from pathlib import Path

import vae_fn
from vae_fn.errors import lines_through
from vae_fn.verify.properties.arguments import reason

PACKAGE = Path(vae_fn.__file__).parent


def raised(error: Exception, fn: Callable | None = None) -> str:
    """The first line of what an error says, with `users_line` in brackets where there is one."""
    line = users_line(error, fn)
    return reason(error) if line is None else f"{reason(error)} ({line})"


def users_line(error: Exception, fn: Callable | None = None) -> str | None:
    """The file and the line of the user's code that an error came through last, or else where a function of it begins.

    None where there is no code of the user's.
    """
    code = getattr(fn, "__code__", None)
    defined = [] if code is None else [(code.co_filename, code.co_firstlineno)]
    places = (*lines_through(error), *defined)
    return next((f"{Path(file).name}, line {line}" for file, line in places if _is_users(Path(file))), None)


def _is_users(file: Path) -> bool:
    """Whether it is neither installed, nor Python's, nor of this package."""
    others = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(sysconfig.get_path("stdlib"))
    return not others and not file.is_relative_to(PACKAGE)
