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
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from vae_fn.errors import UserError

Say = Callable[[str], None]
"""Hears in a word of what is done."""

SERVE = "from vae_fn.bench.fresh import serve; serve()"


def call(
    function: str, request: Mapping[str, Any], environment: Mapping[str, str], say: Say = lambda what: None
) -> Any:
    """`function(request, say)` in a new process.

    Args:
        function: `module:function`; what it takes and returns goes through JSON.
        request: its argument.
        environment: variables that the process has besides those of this one.
        say: hears what the function says.

    Raises:
        UserError: the function raised one, or its process was killed.
        RuntimeError: it raised anything else, whose traceback is the message.
    """
    listen, speak = os.pipe()
    search = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": search, **environment},
        pass_fds=(speak,),
        text=True,
    )
    os.close(speak)
    assert process.stdin is not None
    try:
        with process.stdin, contextlib.suppress(BrokenPipeError):
            json.dump({"function": function, "request": request, "speak": speak}, process.stdin)
        result = _listen(listen, say)
    finally:
        if sys.exc_info()[0] is not None:
            process.kill()
        process.wait()
    return _result(result, process.returncode)


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
    raise RuntimeError(last.get("fault", f"a process ended with status {status}"))
