"""What was timed, in words and tables."""

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vae_fn import random
from vae_fn.bench.variants import REFERENCE, VARIANTS
from vae_fn.run.environment import environment
from vae_fn.words import counted

VARIABLES = ("OMP_", "MKL_", "KMP_", "GOMP_", "DNNL_", "ONEDNN_", "TORCH", "CUBLAS_", "NVIDIA_TF32")
"""How the names of variables begin that times may depend on."""

DIFFERENT, ROUNDING = 100, 1e-7
"""How many times the parity of eager steps in the same precision, or of rounding in float32, is too much."""

QUIET = 0.5
"""The load average up to which a machine counts as idle."""


def rows_text() -> str:
    """Every row, in a line."""
    width = max(map(len, VARIANTS))
    return "\n".join(f"{name:{width}}  {variant.about}" for name, variant in VARIANTS.items())


def machine() -> dict[str, Any]:
    """The environment as far as it is known before anything is measured: without the device."""
    return {name: value for name, value in environment("cpu", random.GENERATOR).items() if name != "device"}


def surroundings(device: str, before: Sequence[float]) -> dict[str, Any]:
    """The environment, with what times depend on besides: variables, and the load before and now.

    Args:
        device: that was measured on.
        before: the load averages of the system before.
    """
    here = environment(device, random.GENERATOR)
    variables = {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}
    variables.pop("TORCHINDUCTOR_CACHE_DIR", None)  # which torch sets by itself
    return here | {"variables": variables, "load_before": [*before], "load_after": [*os.getloadavg()]}


def report(result: Mapping[str, Any]) -> str:
    """The tables, and what is to be said of them."""
    rows = result["rows"]
    lines = [*_tables(rows), *_notes(rows), *_warnings(result["environment"])]
    return "\n".join(lines)


def _tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _table(TIMES, rows)
    yield ""
    yield _table(SHARES, rows)


def _table(columns: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Columns two spaces apart, the first to the left; one with nothing in it is left out."""
    kept = _filled(columns, rows)
    return "\n".join("  ".join(line).rstrip() for line in zip(*map(_column, kept, kept.values()), strict=True))


def _filled(columns: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The cells of the columns that have something in some row."""
    cells = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    return {name: column for name, column in cells.items() if any(cell != "-" for cell in column)}


def _column(name: str, cells: Sequence[str]) -> list[str]:
    """A column under its name and a rule, of one width; that of names is aligned to the left."""
    width = max(map(len, (name, *cells)))
    return [cell.ljust(width) if name == "row" else cell.rjust(width) for cell in (name, "-" * width, *cells)]


def _number(value: int | float | None, digits: int = 3) -> str:
    """So many digits, and no exponent up to a million."""
    if value is None:
        return "-"
    plain = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e" in plain and 1 <= abs(value) < 1e9 else plain


def _spread(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "-"
    return f"{_number(values['median'])} ({_number(values['q1'])} .. {_number(values['q3'])})"


def _faster(row: Mapping[str, Any]) -> str:
    return "-" if row["name"] == REFERENCE else _spread(row["speedup"])


def _break_even(row: Mapping[str, Any]) -> str:
    if row["compile_cold_s"] is None or row["speedup"] is None:
        return "-"
    return "no gain" if row["break_even_steps"] is None else f"{row['break_even_steps']:,.0f}"


TIMES = {
    "row": lambda row: row["name"],
    "batch": lambda row: _number(row["batch"], 9),
    "K": lambda row: _number(row["samples"], 9),
    "members": lambda row: _number(row["members"], 9) if row["members"] > 1 else "-",
    "cold s": lambda row: _number(row["compile_cold_s"]),
    "warm s": lambda row: _number(row["compile_warm_s"]),
    "even after": _break_even,
    "ms a step (quartiles)": lambda row: _spread(row["ms_per_step"]),
    "least": lambda row: _number(row["ms_per_step"]["min"]),
    f"faster than {REFERENCE}": _faster,
    "examples/s": lambda row: _number(row["examples_per_second"]),
}
"""The columns of the first table."""

SHARES = {
    "row": lambda row: row["name"],
    "batch": lambda row: _number(row["batch"], 9),
    "K": lambda row: _number(row["samples"], 9),
    "members": lambda row: _number(row["members"], 9) if row["members"] > 1 else "-",
    "precision": lambda row: row["precision"],
    "GFLOP/s": lambda row: _number(row["gflop_per_second"]),
    "GB/s": lambda row: _number(row["gb_per_second"]),
    "limit ms": lambda row: _number(row["limit_ms"]),
    "x limit": lambda row: _number(row["ratio_to_limit"]),
    "peak MB": lambda row: _number(row["peak_mb"]),
    "breaks": lambda row: str(row["graph_breaks"]),
    "recompiles": lambda row: str(row["recompiles"]),
    "kern+calls": lambda row: "-" if row["kernels"] is None else f"{row['kernels']}+{row['extern_calls']}",
    "call us": lambda row: _number(row["overhead_us"], 2),
    "parity": lambda row: _number(row["parity"], 2),
}
"""The columns of the second table."""


LEGEND = {
    "cold s": "cold, warm: seconds of the first call in a new process without and with a compile cache",
    "even after": "even after: steps until the cold one has paid",
    "limit ms": "limit: the step's products alone, each the fastest way, and its state read and written once",
    "parity": "parity: relative error of parameters after 20 steps, against float64",
}
"""What columns mean that do not say it themselves."""


def _notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shown = _filled(TIMES | SHARES, rows)
    legend = "; ".join(meaning for column, meaning in LEGEND.items() if column in shown)
    yield textwrap.fill(f"{legend} (more: docs/bench.md)", 110)
    if any(row["name"] == "onednn" for row in rows):
        yield "onednn: the route was measured to win on AMD Zen 5 and to be equal within a few percent on Zen 4"
    if any(row["name"] == "tiled" for row in rows):
        yield "tiled: own code for products, the default on AMD Zen 4, where it was measured to win"
    without = {row["name"]: row["notes"]["parity"] for row in rows if "parity" in row["notes"]}
    for why in dict.fromkeys(without.values()):
        yield f"no parity of {', '.join(name for name in without if without[name] == why)}: {why}"
    exact = {_sizes(row): row["parity"] for row in rows if row["name"] == REFERENCE}
    for row in rows:
        yield from _faults(row, exact.get(_sizes(row)))


def _sizes(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What rows have in common whose parameters must agree."""
    return tuple(row[name] for name in ("batch", "samples", "members", "precision"))


def _faults(row: Mapping[str, Any], reference: float | None) -> Iterator[str]:
    """What is wrong with a row, whose parity is held against that of eager steps in the same precision."""
    if row["recompiles"]:
        times = counted(row["recompiles"], "time")
        yield f"{row['name']} was compiled again {times} after its first call: shapes change"
    if row["ratio_to_limit"] < 1:
        yield f"{row['name']} is below the limit, which was measured while the machine was busy: measure again"
    bound = _bound(row["precision"], reference)
    if (row["parity"] or 0) > bound:
        off = f"its parameters are {row['parity']:.1e} off, of {bound:.1e} allowed"
        yield f"{row['name']} does not compute the same: {off}"


def _bound(precision: str, reference: float | None) -> float:
    """The parity that a row may have, beside that of eager steps in its precision, if there are any."""
    most = 0.5 if precision == "bfloat16" else 0.01
    return most if reference is None else min(most, DIFFERENT * max(reference, ROUNDING))


def _warnings(environment: Mapping[str, Any]) -> Iterator[str]:
    before, after, own = environment["load_before"][0], environment["load_after"][0], environment["threads"] + 1
    if before > QUIET or after > own + QUIET:
        yield (
            f"warning: the machine was busy (load average {before:.2f} before; {after:.2f} after, where up to {own} "
            "are this measurement's own):\nonly ratios mean something, and times of an idle machine are shorter"
        )
