"""From arguments to settings: tyro, with a default preset and one-line errors."""

import contextlib
import difflib
import inspect
import io
import itertools
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import DisallowNone, Positional, Suppress

from vae_fn.errors import UserError
from vae_fn.run.config import field_types, in_words

Settings = TypeVar("Settings")


class UsageError(UserError):
    """A command line that cannot be read."""


def parse(
    settings: type[Settings],
    args: Sequence[str],
    prog: str,
    default: Settings | None = None,
    description: str | None = None,
    leading: Iterable[str] = (),
) -> Settings:
    """Read a dataclass from command-line arguments; `--help` prints tyro's help and exits with status 0.

    Args:
        settings: The dataclass.
        args: What follows the command's name.
        prog: How the command is called, for the help.
        default: Values of options that are not given; without it, the class's own.
        description: Text at the head of the help; without it, the class's docstring.
        leading: Presets, one of which may stand before the arguments and nowhere else.

    Raises:
        UserError: The arguments cannot be read, or the dataclass refuses a value.
    """
    args, options = [_hyphenated(arg) for arg in args], _options(settings)
    described = settings.__doc__ if description is None else description
    for arg in args:
        if arg.startswith("--"):
            _check_option(arg, options)
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            result, unknown = tyro.cli(
                settings,
                args=args,
                prog=prog,
                default=tyro.MISSING_NONPROP if default is None else default,
                description=_paragraphs(inspect.cleandoc(described or "")),
                return_unknown_args=True,
                config=(DisallowNone,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        if fault := _user_error(stop):
            raise type(fault)(_as_typed(str(fault), options)) from fault
        raise _usage_error(box.getvalue(), settings, args) from None
    for arg in unknown:
        if arg.startswith("-"):
            _check_option(arg, options)
        why = "a preset comes first, before all options" if arg in leading else "it belongs to no option, see --help"
        raise UsageError(f"unexpected argument {arg!r}: {why}.")
    return result


def parse_preset(presets: Mapping[str, Settings], args: Sequence[str], prog: str, description: str) -> Settings:
    """Read `[PRESET] [--options]`: the options change the preset's values; the first preset is the default.

    Raises:
        UserError: As `parse`, and for an unknown preset.
    """
    if any(arg == "--preset" or arg.startswith("--preset=") for arg in args):
        raise UsageError(f"a preset has no --: it comes first, as in `{prog} {next(iter(presets))}`.")
    named = bool(args) and not args[0].startswith("-")
    preset = args[0] if named else next(iter(presets))
    if preset not in presets:
        raise UsageError(f"unknown preset {preset!r}.{did_you_mean(preset, presets)}")
    default = presets[preset]
    usage = f"{prog} {preset if named else '[PRESET]'}"
    return parse(type(default), args[int(named) :], usage, default, description, presets)


@contextlib.contextmanager
def in_own_options(instead: Mapping[str, str]) -> Iterator[None]:
    """Mistakes that the settings of training tell, with the options of a command that has others for them.

    Args:
        instead: for options of `vae-fn train`, what to use; where that is one option, of the same values, it is named.
    """
    try:
        yield
    except UserError as fault:
        own = {option: new for option, new in instead.items() if re.fullmatch("--[a-z-]+", new)}
        told = re.sub(r"(?<![\w/.-])--[a-z-]+(?![\w/.])", lambda found: own.get(found[0], found[0]), str(fault))
        if told == str(fault):
            raise
        raise UserError(told) from fault


def filled(line: str, indent: str) -> str:
    """A line broken into several that fit the terminal, all but the first indented."""
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(line, columns, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Name the nearest name as a question, or else all of them; starts with a space."""
    names = list(names)
    near = difflib.get_close_matches(word, names, n=1)
    return f" Did you mean {near[0]}?" if near else f" Choose from: {', '.join(names)}."


def _paragraphs(text: str) -> str:
    """Paragraphs in lines that fit the terminal; those below the first are indented, or else tyro joins them again.

    A line that begins with a space is a paragraph of its own.
    """
    lines = re.sub(r"(?<=\S)\n(?=\S)", " ", text).splitlines()
    return "\n".join(filled(line, "    " if line.startswith(" ") else "  ") for line in lines)


def _hyphenated(arg: str) -> str:
    """`--batch_size=3` as `--batch-size=3`."""
    option, equals, value = arg.partition("=")
    return (option.replace("_", "-") if option.startswith("--") else option) + equals + value


def _user_error(stop: BaseException) -> UserError | None:
    """The error of ours that made tyro stop, if one did: tyro raises its exit while handling it."""
    fault = stop.__context__
    while fault is not None and not isinstance(fault, UserError):
        fault = fault.__context__
    return fault


def _as_typed(refusal: str, options: Iterable[str]) -> str:
    """A refusal with `batch_size` as `--batch-size`: where it begins, and wherever the name cannot be another word."""
    typed = {option.removeprefix("--").replace("-", "_"): option for option in options}

    def name(found: re.Match[str]) -> str:
        return re.sub(r"\w+", lambda word: typed.get(word[0], word[0]), found[0])

    return re.sub(r"^\w+(?: (?:and|times) \w+)*(?![\w/.:-])|(?<![\w/.-])[a-z]+(?:_[a-z]+)+(?![\w/.])", name, refusal)


def _usage_error(box: str, settings: type, args: Sequence[str]) -> UsageError:
    """Say in one line what tyro says in a box: which option it is, what it takes, and what it got."""
    text, options = re.sub(r"\x1b\[[0-9;]*m", "", box), _options(settings)
    named = re.search(r"(?:parsing|argument)\W*?(--[a-z]+(?:-[a-z]+)*)", text)
    if named is None:
        hints = get_type_hints(settings, include_extras=True)
        missing = [field.name for field in fields(settings) if field.default is MISSING]
        needed = [_said_in(hints[name], "metavar") or name.upper() for name in missing]
        return UsageError(f"missing argument: {' '.join(needed)}, see --help.")
    option, kind = named.group(1), options[named.group(1)]
    value = value_of(option, args)
    if value is None:
        return UsageError(f"{option} needs a value: {in_words(kind)}.")
    near = difflib.get_close_matches(value, _choices(kind), n=1)
    return UsageError(
        f"{option} takes {in_words(kind)}, not {value!r}." + (f" Did you mean {near[0]}?" if near else "")
    )


def value_of(option: str, args: Sequence[str]) -> str | None:
    """What the arguments give an option, the last time they name it; None if nothing, or another option follows."""
    value = None
    for arg, following in itertools.pairwise([*args, "--"]):
        if arg == option:
            value = None if following.startswith("--") else following
        elif arg.startswith(f"{option}="):
            value = arg.partition("=")[2]
    return value


def _options(settings: type) -> dict[str, Any]:
    """The options of a dataclass and their types; those of a switch are both of its names."""
    hints, options = get_type_hints(settings, include_extras=True), {}
    for name, kind in field_types(settings).items():
        if isinstance(kind, type) and is_dataclass(kind):
            options |= _options(kind)
        elif not {Suppress, Positional}.intersection(getattr(hints[name], "__metadata__", ())):
            option = _said_in(hints[name], "name") or name.replace("_", "-")
            options |= {f"--{option}": kind} | ({f"--no-{option}": kind} if kind is bool else {})
    return options


def _choices(kind: Any) -> list[str]:
    """The words that a field takes, also where it may be None; none if it takes others."""
    literals = [part for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
    return [word for literal in literals for word in get_args(literal)]


def _said_in(hint: Any, what: str) -> str | None:
    """What a field's annotation says by `tyro.conf.arg(name=..., metavar=...)`, if it does."""
    said = (getattr(note, what, None) for note in getattr(hint, "__metadata__", ()))
    return next((word for word in said if isinstance(word, str)), None)


def _check_option(arg: str, options: Mapping[str, Any]) -> None:
    option, equals, _ = arg.partition("=")
    if equals and options.get(option) is bool:
        raise UsageError(f"{option} is a switch and takes no value, see --help.")
    if option not in (*options, "--help", "-h"):
        near = difflib.get_close_matches(option, [*options, "--help"], n=1)
        hint = f"Did you mean {near[0]}?" if near else "See --help for the options."
        raise UsageError(f"unknown option {option!r}. {hint}")
