"""Which line of the user's code something raised."""

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

import vae_fn
from vae_fn.verify.properties.arguments import reason

PACKAGE = Path(vae_fn.__file__).parent


def raised(error: Exception, *fns: Callable | None) -> str:
    """The first line of what an error says, with `users_line` in brackets where there is one."""
    line = users_line(error, *fns)
    return reason(error) if line is None else f"{reason(error)} ({line})"


def users_line(error: Exception, *fns: Callable | None) -> str | None:
    """The file and the line of the user's code that an error came through last, or else where a function begins.

    None where there is no code of the user's.
    """
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    codes = [fn.__code__ for fn in fns if hasattr(fn, "__code__")]
    places = [*reversed(frames), *((code.co_filename, code.co_firstlineno) for code in codes)]
    return next((f"{Path(file).name}, line {line}" for file, line in places if _is_users(Path(file))), None)


def _is_users(file: Path) -> bool:
    """Whether it is neither installed, nor Python's, nor of this package."""
    others = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(sysconfig.get_path("stdlib"))
    return not others and not file.is_relative_to(PACKAGE)
