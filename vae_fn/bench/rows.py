"""A row of the table: everything that is told of one way of running a step."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from vae_fn.bench.compiled import Calls, FirstCall
from vae_fn.bench.steady import Steady
from vae_fn.bench.subject import Source
from vae_fn.bench.variants import Variant
from vae_fn.bench.windows import ratios, spread


class Cold(NamedTuple):
    """What new processes told of a row.

    Attributes:
        first: with an empty compile cache.
        warm: with the cache that it left; None where nothing is compiled.
        calls: in the generated code; None likewise.
        instructions: of a step; None if they were not counted.
        uncounted: why they were not.
    """

    first: FirstCall
    warm: FirstCall | None
    calls: Calls | None
    instructions: float | None = None
    uncounted: str | None = "not asked for"


def break_even(compile_s: float, reference_ms: float, ms: float) -> float | None:
    """Steps after which compiling has paid: compile_s / (t_reference - t); None where the step is not faster."""
    gained = (reference_ms - ms) / 1e3
    return compile_s / gained if gained > 0 else None


def row_of(
    name: str, variant: Variant, source: Source, cold: Cold, found: Steady, reference: Sequence[float] | None
) -> dict[str, Any]:
    """A row, as it stands in the JSON.

    Args:
        name: of the row.
        variant: what it is.
        source: of the step.
        cold: what new processes told.
        found: what the windows told.
        reference: windows of the row that all are compared with; None if it was not measured.
    """
    times, limit, members = spread(found.windows_ms), found.limit, source.members
    gain = paid = None
    if reference is not None:
        gain = spread(ratios(reference, found.windows_ms))._asdict()
        paid = break_even(cold.first.seconds, spread(reference).median, times.median) if variant.compiled else None
    return {
        "name": name,
        "precision": found.precision,
        "device": found.device,
        "batch": source.batch,
        "samples": source.samples,
        "members": members,
        "compile_cold_s": cold.first.seconds if variant.compiled else None,
        "compile_warm_s": cold.warm.seconds if cold.warm else None,
        "break_even_steps": paid,
        "ms_per_step": times._asdict(),
        "speedup": gain,
        "examples_per_second": None if source.batch is None else 1e3 * source.batch * members / times.median,
        "flops_per_step": found.flops,
        "gflop_per_second": found.flops / times.median / 1e6,
        "bytes_per_step": found.bytes,
        "gb_per_second": found.bytes / times.median / 1e6,
        "limit_ms": limit.ms,
        "limit_products_ms": limit.products_ms,
        "limit_state_ms": limit.state_ms,
        "limit_ways": limit.ways,
        "ratio_to_limit": times.median / limit.ms,
        "peak_mb": cold.first.peak_mb,
        "process_peak_mb": cold.first.process_peak_mb,
        "graph_breaks": cold.first.graph_breaks,
        "recompiles": cold.first.recompiles,
        "graphs": cold.first.graphs,
        "kernels": cold.calls.kernels if cold.calls else None,
        "extern_calls": cold.calls.extern if cold.calls else None,
        "overhead_us": found.overhead_us,
        "parity": found.parity if found.parity is not None and math.isfinite(found.parity) else None,
        "instructions": cold.instructions,
        "notes": {name: why for name, why in _missing(cold, found) if why},
        "steps_per_window": found.steps,
        "windows_ms": found.windows_ms,
    }


def _missing(cold: Cold, found: Steady) -> Iterator[tuple[str, str | None]]:
    """Why something that could have been measured was not."""
    yield "instructions", cold.uncounted
    if found.parity is None:
        yield "parity", "the step does not run in float64"
    elif not math.isfinite(found.parity):
        yield "parity", "the parameters are not finite after 20 steps"
    yield "peak_mb", "the system does not tell" if cold.first.peak_mb is None else None
