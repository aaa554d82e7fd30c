"""From `MODULE:OBJECT` to the object, with one line for every mistake on the way."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import nn

from vae_fn.cli.parse import did_you_mean
from vae_fn.errors import UserError, brief, lacks_memory, lines_through, place


class Located(NamedTuple):
    """What a name refers to, and the file that defines it; None for what has no source."""

    target: str
    value: Any
    file: Path | None


def locate(target: str, option: str = "") -> Located:
    """Import a module and look an object up in it.

    Args:
        target: `MODULE:OBJECT`; MODULE dotted or the path of a .py file, OBJECT dotted or not.
        option: that it was given by, for errors.

    Raises:
        UserError: there is no such module or object, or the module raises.
    """
    place, colon, path = target.rpartition(":")
    if not (colon and place and all(part.isidentifier() for part in path.split("."))):
        given = f"{option} takes" if option else "give"
        raise UserError(f"{given} MODULE:OBJECT, such as my_file.py:my_estimator, not {target!r}")
    module = _import_file(Path(place)) if place.endswith(".py") or os.sep in place else _import_dotted(place)
    value: Any = module
    for part in path.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            names = [name for name in dir(value) if not name.startswith("_")]
            raise UserError(f"{place} has no {path!r}.{did_you_mean(part, names)}") from None
    return Located(target, value, _file(value, module))


@contextmanager
def reported(what: str, *files: Path | None) -> Iterator[None]:
    """Whatever the user's code raises, in one line with its place; the kit's own words as they are.

    Args:
        what: is said to have raised it.
        files: of the user's code: their innermost line is named, or else the innermost of all.

    Raises:
        UserError: something was raised, or the kit refused what it was given. Want of memory is raised as it is.
    """
    try:
        yield
    except (Exception, SystemExit) as fault:
        if isinstance(fault, UserError) or lacks_memory(fault):
            raise
        if within := _place_in(fault, files):
            raise UserError(f"{what} raised {brief(fault)}{within}") from fault
        if isinstance(fault, ValueError | TypeError):
            raise UserError(f"{what} was refused: {brief(fault)}") from fault
        raise UserError(f"{what} raised {brief(fault)}{_place(fault)}; --debug shows the traceback") from fault


def takes(fn: Callable, *args: Any) -> bool:
    """Whether a function can be called like this; one that does not tell is taken to be."""
    try:
        inspect.signature(fn.forward if isinstance(fn, nn.Module) else fn).bind(*args)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _import_dotted(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    try:
        return _run(lambda: importlib.import_module(name), name)
    except ModuleNotFoundError as fault:
        if fault.name is None or not f"{name}.".startswith(f"{fault.name}."):
            raise
        raise UserError(f"there is no module {name!r} here or installed: a file is given by its path") from None


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    sys.path[:0] = [str(path.parent.resolve()), os.getcwd()]
    name = path.stem
    if name in sys.modules:
        taken = getattr(sys.modules[name], "__file__", None)
        if taken and Path(taken).resolve() == path.resolve():
            return sys.modules[name]
        raise UserError(f"{path} has the name of a module that is in use, {name}: rename it")
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does: dataclasses and pickles look their module up
    loader = spec.loader
    _run(lambda: loader.exec_module(module), str(path))
    return module


def _run(load: Callable[[], Any], what: str) -> Any:
    """Import, and report what the module raises with the innermost line that is not the importing itself."""
    try:
        return load()
    except ModuleNotFoundError as fault:
        if fault.name is not None and f"{what}.".startswith(f"{fault.name}."):
            raise
        raise _raised(what, fault) from fault
    except (Exception, SystemExit) as fault:
        raise _raised(what, fault) from fault


def _raised(what: str, fault: BaseException) -> UserError:
    if isinstance(fault, SyntaxError) and fault.filename:
        return UserError(f"{what} cannot be imported: {fault.msg} ({place(fault.filename, fault.lineno)})")
    return UserError(f"{what} cannot be imported: it raised {brief(fault)}{_place(fault)}")


def _place(fault: BaseException) -> str:
    """The innermost line that is not the importing itself."""
    return _innermost(lines_through(fault, lambda file: "importlib" not in file))


def _place_in(fault: BaseException, files: Collection[Path | None]) -> str:
    """The innermost line of these files that the fault came through."""
    return _innermost(lines_through(fault, lambda file: Path(file).resolve() in files))


def _innermost(lines: list[tuple[str, int]]) -> str:
    """Where the first of them is, in brackets; nothing if there is none."""
    return f" ({place(*lines[0])})" if lines else ""


def _file(value: Any, module: ModuleType) -> Path | None:
    """Where the object is defined if it says so, else its module's file."""
    source = None
    with suppress(TypeError):
        source = inspect.getsourcefile(inspect.unwrap(value)) if callable(value) else None
    found = source or getattr(module, "__file__", None)
    return Path(found).resolve() if found else None
