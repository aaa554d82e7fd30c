"""The side of a program: it makes itself ready, then takes a window of steps whenever it is told to.

It reads lines, `window N` or `quit`, and answers each with one line of JSON, after a first one when it is ready.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import task
from task import Given, Task


class Program(NamedTuple):
    """A training program at its initial weights.

    Attributes:
        run: take so many steps, a multiple of `chunk`, and wait until the last one is done.
        replay: the losses of as many steps from the initial weights as there are batches, each before its update, on
            given rows `(steps, batch)` and noise `(steps, samples, batch, latent)`.
        chunk: steps in one call.
    """

    run: Callable[[int], None]
    replay: Callable[[np.ndarray, np.ndarray], list[float]]
    chunk: int = 1


Build = Callable[[Task, Given, dict[str, Any]], Program]


def serve(build: Build) -> None:
    """Build the program that the command line asks for and obey until told to quit.

    A package that is not installed is reported by its name, so import it inside `build`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="of the task")
    parser.add_argument("options", type=json.loads, help="of the program, in JSON")
    arguments = parser.parse_args()
    channel = _take_stdout()
    try:
        program, ready = _prepare(build, arguments.folder, arguments.options)
        _say(channel, ready)
        _obey(channel, program)
    except ModuleNotFoundError as error:
        _say(channel, {"missing": error.name})
    except Exception as error:
        traceback.print_exc()
        _say(channel, {"error": f"{type(error).__name__}: {error}"})


def _prepare(build: Build, folder: Path, options: dict[str, Any]) -> tuple[Program, dict[str, Any]]:
    sizes, given = task.read(folder)
    start = time.perf_counter()
    program = build(sizes, given, options)
    built = time.perf_counter()
    program.run(program.chunk)
    first = time.perf_counter()
    losses = program.replay(given.rows, given.noise)
    return program, {"build_s": built - start, "first_step_s": first - built, "losses": losses, "chunk": program.chunk}


def _obey(channel: TextIO, program: Program) -> None:
    whole = peak_mb()
    _forget_peak()
    for line in sys.stdin:
        match line.split():
            case ["window", steps]:
                start = time.perf_counter()
                program.run(int(steps))
                _say(channel, {"seconds": time.perf_counter() - start})
            case ["quit"]:
                windows = peak_mb()
                _say(channel, {"peak_mb": max(whole, windows), "windows_mb": windows})
                return


def peak_mb() -> float:
    """The largest resident memory of this process so far, its compiling included.

    Not `ru_maxrss`, which begins with the memory of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _take_stdout() -> TextIO:
    """The standard output as it was, for answers alone: what libraries print goes to the standard error."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def _say(channel: TextIO, message: dict[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()
