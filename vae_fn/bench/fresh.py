"""A function called in a new process, which tells what it does while it runs.

What is compiled for the first time, or takes memory, can only be measured where nothing was before.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_fn.errors import UserError

Say = Callable[[str], None]
"""Hears in a word of what is done."""

SERVE = "from vae_fn.bench.fresh import serve; serve()"


def call(
    function: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    say: Say = lambda what: None,
    log: Path | None = None,
    under: Sequence[str] = (),
) -> Any:
    """`function(request, say)` in a new process, whose output nobody sees.

    Args:
        function: `module:function`; what it takes and returns goes through JSON.
        request: its argument.
        environment: variables that the process has besides those of this one.
        say: hears what the function says.
        log: file for what the process writes to stderr, which is lost otherwise.
        under: a command that runs another one, whose arguments it takes behind its own.

    Raises:
        UserError: the function raised one, or its process was killed.
        RuntimeError: it raised anything else, whose traceback is the message.
    """
    listen, speak = os.pipe()
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    with open(log, "xb") if log else tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*under, sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=variables,
            pass_fds=(speak,),
            text=True,
        )
        os.close(speak)
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                json.dump({"function": function, "request": request, "speak": speak}, process.stdin)
            last = _listen(listen, say)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if not last.keys() & {"result", "mistake", "fault"} and not log:
            errors.seek(0)
            last["fault"] = errors.read().decode(errors="replace")
    return _result(last, process.returncode)


def serve() -> None:
    """The other end: read a request from stdin, run it, and answer on the pipe that it names."""
    asked = json.load(sys.stdin)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of each machine without a GPU
    with os.fdopen(asked["speak"], "w", buffering=1) as pipe:

        def tell(kind: str, content: Any) -> None:
            print(json.dumps({kind: content}), file=pipe)

        module, _, name = asked["function"].partition(":")
        try:
            tell("result", getattr(importlib.import_module(module), name)(asked["request"], lambda w: tell("said", w)))
        except UserError as fault:
            tell("mistake", str(fault))
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except BaseException:
            tell("fault", traceback.format_exc())


def _listen(pipe: int, say: Say) -> dict[str, Any]:
    last: dict[str, Any] = {}
    with os.fdopen(pipe) as lines:
        for line in lines:
            last = json.loads(line)
            if "said" in last:
                say(last["said"])
    return last


def _result(last: Mapping[str, Any], status: int) -> Any:
    if "result" in last:
        return last["result"]
    if "mistake" in last:
        raise UserError(last["mistake"])
    if status < 0:
        raise UserError(f"a process was ended by signal {-status}, as for want of memory: choose smaller sizes")
    raise RuntimeError(last.get("fault") or f"a process ended with status {status}")
