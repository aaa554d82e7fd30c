"""The first call of a program in a process where nothing was compiled before, and what it left behind."""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._dynamo.utils import counters

from vae_fn.bench.fresh import Say
from vae_fn.bench.memory import peak_bytes, process_peak_bytes
from vae_fn.bench.subject import Source, clone, device_of, size_in_bytes
from vae_fn.bench.variants import VARIANTS
from vae_fn.bench.windows import synchronize
from vae_fn.compiling import CaptureError
from vae_fn.errors import UserError

STEPS = 3
"""Steps after the first over which recompiles and memory are looked at."""


class FirstCall(NamedTuple):
    """What the first call of a program took.

    Attributes:
        seconds: until its result was there: tracing, compiling, one call.
        graphs: that were compiled in it.
        graph_breaks: in it.
        recompiles: graphs that were compiled in the next steps.
        peak_mb: most memory of a step, as `memory.MEASURE` says; None where the system does not tell.
        process_peak_mb: most memory of the process, compiling and all.
    """

    seconds: float
    graphs: int
    graph_breaks: int
    recompiles: int
    peak_mb: float | None
    process_peak_mb: float


def first_call(request: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """In a new process: make the program of a row and call it for the first time.

    Args:
        request: `source`, the fields of a `Source`; `variant`, the name of a row.
        say: hears nothing.
    """
    del say
    variant = VARIANTS[request["variant"]]
    subject = Source(*request["source"]).subject(variant.settings)
    state = clone(subject.state)
    counters.clear()
    start = time.perf_counter()
    advance = variant.make(subject)  # which already begins to compile
    with whole(request["variant"]):
        state = advance(state, 1)
        synchronize()
        seconds = time.perf_counter() - start
        graphs = counters["stats"]["unique_graphs"]
        peak = peak_bytes(lambda: advance(state, STEPS), size_in_bytes(state), device_of(subject))
    return FirstCall(
        seconds,
        graphs,
        sum(counters["graph_break"].values()),
        counters["stats"]["unique_graphs"] - graphs,
        None if peak is None else peak / 1e6,
        process_peak_bytes() / 1e6,
    )._asdict()


@contextlib.contextmanager
def whole(row: str) -> Iterator[None]:
    """Say in one line why a step cannot be compiled whole, or captured.

    Raises:
        UserError: it cannot.
    """
    try:
        yield
    except TorchDynamoException as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()] or [type(fault).__name__]
        raised = re.search(r"raised exception (.+)", str(fault))
        reason = f"while it was traced it raised {raised[1]}" if raised else lines[0]
        raise UserError(
            f"row {row!r}: the step cannot be compiled whole: {reason.rstrip('.')}. Mend that, or time --rows eager "
            "alone"
        ) from fault
    except FailOnRecompileLimitHit as fault:
        raise UserError(
            f"row {row!r}: the step is compiled anew again and again: something that it reads besides its arguments "
            "changes from call to call. Keep that in the state, or time --rows eager alone"
        ) from fault
    except CaptureError as fault:
        raise UserError(f"row {row!r}: {fault.args[0]}: mend that, or leave the row out") from fault


class Calls(NamedTuple):
    """What a compiled step calls, as its generated code says.

    Attributes:
        kernels: generated kernels.
        extern: routines that were there before, such as those of a matrix product.
    """

    kernels: int
    extern: int


KERNEL = re.compile(r"^\s+(?:cpp_fused\w*|triton_\w+)(?:\.run)?\(", re.MULTILINE)
EXTERN = re.compile(r"^\s+(?:\w+ = )?(?:extern_kernels\.\w+|torch\.ops\.[\w.]+|aten\.[\w.]+)\(", re.MULTILINE)


def calls_of(code: str) -> Calls:
    """Count the calls in the generated code of a graph, those in a loop once."""
    return Calls(len(KERNEL.findall(code)), len(EXTERN.findall(code)))


def generated(cache: Path) -> list[Path]:
    """The generated code of every graph in a compile cache, the largest first."""
    files = [file for file in cache.glob("*/*.py") if "def call(" in file.read_text(encoding="utf-8")]
    return sorted(files, key=lambda file: -file.stat().st_size)


def calls_in(cache: Path) -> Calls | None:
    """The calls of all graphs in a compile cache; None if there is no generated code."""
    found = [calls_of(file.read_text(encoding="utf-8")) for file in generated(cache)]
    return Calls(*map(sum, zip(*found, strict=True))) if found else None
