"""The command `vae-fn`: finds the command asked for, and reports a user's mistakes in one line."""

import errno
import importlib.metadata
import io
import signal
import sys
import traceback
from collections.abc import Sequence

from vae_fn.cli import (
    bench,
    encode,
    evaluate,
    figures,
    gradients,
    race,
    reconstruct,
    replay,
    runs,
    sample,
    train,
    verify,
)
from vae_fn.cli.parse import UsageError, did_you_mean, filled
from vae_fn.errors import UserError, lacks_memory
from vae_fn.run.cache import keep_elsewhere
from vae_fn.run.interrupts import Interrupted

COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "figures": figures,
    "sample": sample,
    "reconstruct": reconstruct,
    "encode": encode,
    "runs": runs,
    "replay": replay,
    "verify": verify,
    "gradients": gradients,
    "race": race,
    "bench": bench,
}

SMALLER = {
    "train": "use --microbatch 16 or less, or a smaller --batch-size",
    "bench": "use smaller --batch-sizes, or with a preset --microbatch 16 or less",
}
"""What to do where there is not enough memory, by command; of the others, choose smaller sizes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: what the command returns, or 0 if that is nothing.

    It is 2 for a user's mistake, 128 + n when stopped by signal n.

    Args:
        argv: The arguments; without it, those of the process. `--debug` anywhere shows the traceback of a mistake.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what a terminal cannot show
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        return _run(args)
    except BrokenPipeError:
        sys.stdout = None  # whoever read the output is gone: nothing is left to flush
        return 1
    except (Exception, KeyboardInterrupt) as fault:
        command = args[0] if args and args[0] in COMMANDS else ""
        message, status = _in_words(fault, command)
        if message is None:
            raise
        if debug:
            traceback.print_exception(fault)
        prog = f"vae-fn {command}".strip()
        print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
        return status


def _run(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(_overview())
    elif args[0] == "--version":
        print(f"vae-fn {importlib.metadata.version('vae-fn')}")
    elif args[0] in COMMANDS:
        keep_elsewhere()
        return COMMANDS[args[0]].main(args[1:]) or 0
    else:
        what, names = ("option", ["--help", "--version"]) if args[0].startswith("-") else ("command", [*COMMANDS])
        raise UsageError(f"unknown {what} {args[0]!r}.{did_you_mean(args[0], names)}")
    return 0


def _in_words(fault: BaseException, command: str) -> tuple[str | None, int]:
    """A fault in one line, and the exit status; None for a fault of the program, which keeps its traceback."""
    if isinstance(fault, UserError):
        return f"error: {fault}", 2
    if isinstance(fault, Interrupted):
        return str(fault), 128 + fault.signal
    if isinstance(fault, KeyboardInterrupt):
        return "interrupted", 128 + signal.SIGINT
    if lacks_memory(fault):
        return f"error: it does not fit into memory: {SMALLER.get(command, 'choose smaller sizes')}", 2
    if isinstance(fault, OSError) and fault.strerror:
        where = f"{fault.filename}: " if fault.filename else ""
        return f"error: {where}{fault.strerror}: {_remedy(fault)}", 2
    return None, 1


def _remedy(fault: OSError) -> str:
    if fault.errno == errno.EMFILE:  # every member of an ensemble keeps a few open
        return "work on less at a time, or have the limit raised that `ulimit -Hn` shows"
    return "free some space or choose another place"


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 4
    named = [f"  {name}".ljust(width) + command.SUMMARY for name, command in COMMANDS.items()]
    lines = [filled(line, " " * width) for line in named]
    return "\n".join(
        [
            "usage: vae-fn COMMAND [arguments]",
            "",
            "To begin with:",
            "  vae-fn train quick            train in a minute or so, into runs/quick-0",
            "  vae-fn evaluate runs/quick-0  evaluate what was trained",
            "",
            "Commands:",
            *lines,
            "",
            "`vae-fn COMMAND --help` lists its options; `--debug` shows an error's traceback.",
        ]
    )
