"""The command `vae-fn`: finds the command asked for, and reports a user's mistakes in one line."""

import importlib.metadata
import signal
import sys
from collections.abc import Sequence

from vae_fn.cli import encode, evaluate, figures, reconstruct, replay, runs, sample, train
from vae_fn.cli.parse import UsageError, did_you_mean
from vae_fn.errors import UserError
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
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 2 for a user's mistake, 128 + n when stopped by signal n.

    Args:
        argv: The arguments; without it, those of the process. `--debug` anywhere shows the traceback of a mistake.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        _run(args)
    except BrokenPipeError:
        sys.stdout = None  # whoever read the output is gone: nothing is left to flush
        return 1
    except (Exception, KeyboardInterrupt) as fault:
        message, status = _in_words(fault)
        if debug or message is None:
            raise
        prog = f"vae-fn {args[0]}" if args and args[0] in COMMANDS else "vae-fn"
        print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
        return status
    return 0


def _run(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(_overview())
    elif args[0] == "--version":
        print(f"vae-fn {importlib.metadata.version('vae-fn')}")
    elif args[0] in COMMANDS:
        COMMANDS[args[0]].main(args[1:])
    else:
        what, names = ("option", ["--help", "--version"]) if args[0].startswith("-") else ("command", [*COMMANDS])
        raise UsageError(f"unknown {what} {args[0]!r}.{did_you_mean(args[0], names)}")


def _in_words(fault: BaseException) -> tuple[str | None, int]:
    """A fault in one line, and the exit status; None for a fault of the program, which keeps its traceback."""
    if isinstance(fault, UserError):
        return f"error: {fault}", 2
    if isinstance(fault, Interrupted):
        return str(fault), 128 + fault.signal
    if isinstance(fault, KeyboardInterrupt):
        return "interrupted", 128 + signal.SIGINT
    if isinstance(fault, OSError) and fault.strerror:
        where = f"{fault.filename}: " if fault.filename else ""
        return f"error: {where}{fault.strerror}: free some space or choose another place", 2
    if isinstance(fault, MemoryError) or (isinstance(fault, RuntimeError) and "memory" in str(fault)):
        return "error: it does not fit into memory: choose smaller sizes", 2
    return None, 1


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.SUMMARY}" for name, command in COMMANDS.items()]
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
            "`vae-fn COMMAND --help` lists its options; `--debug` shows the traceback of an error.",
        ]
    )
