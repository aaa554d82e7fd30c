"""The command `vae-fn`: finds the command asked for, and reports a user's mistakes in one line."""

import importlib.metadata
import sys
from collections.abc import Sequence

from vae_fn.cli import evaluate, train
from vae_fn.cli.parse import UsageError, did_you_mean
from vae_fn.errors import UserError

COMMANDS = {"train": train, "evaluate": evaluate}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 2 for a user's mistake, 130 when interrupted.

    Args:
        argv: The arguments; without it, those of the process.
    """
    args = sys.argv[1:] if argv is None else argv
    prog = "vae-fn"
    try:
        if not args or args[0] in ("-h", "--help"):
            print(_overview())
        elif args[0] == "--version":
            print(f"vae-fn {importlib.metadata.version('vae-fn')}")
        elif args[0] in COMMANDS:
            prog = f"vae-fn {args[0]}"
            COMMANDS[args[0]].main(args[1:])
        else:
            what = "option" if args[0].startswith("-") else "command"
            raise UsageError(f"unknown {what} {args[0]!r}.{did_you_mean(args[0], [*COMMANDS, '--help', '--version'])}")
    except UserError as fault:
        print(f"{prog}: error: {' '.join(str(fault).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stdout = None  # whoever read the output is gone: nothing is left to flush
        return 1
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        print(f"{prog}: error: {where}{fault.strerror}: free some space or choose another place", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as fault:
        if isinstance(fault, RuntimeError) and "memory" not in str(fault):
            raise
        print(f"{prog}: error: it does not fit into memory: choose smaller sizes", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    return 0


def _overview() -> str:
    lines = [f"  {name:10} {command.SUMMARY}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: vae-fn COMMAND [arguments]", "", "commands:", *lines, "", "`vae-fn COMMAND --help` lists its options."]
    )
