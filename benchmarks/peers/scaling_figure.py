"""The figure of the scaling: time above, memory below, a column for each axis."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from vae_fn.viz.style import BLUE, VERMILLION, new_figure, save_figure, styled

LABELS = {
    "batch": "images in a batch",
    "width": "hidden widths, times the tutorial's",
    "samples": "samples K (IWAE)",
    "microbatch": "images at a time of 128 (K = 64)",
}
LOOKS = {"vae_fn": (BLUE, "o"), "JAX": (VERMILLION, "s")}


@styled
def draw(record: dict[str, Any]) -> bytes:
    """The PNG."""
    axes = {axis: points for axis, points in record["axes"].items() if points}
    note = (
        f"Medians over {record['windows']} alternating windows, bars between the quartiles; resident memory at its "
        "peak in the windows, the libraries included. "
        f"{record['environment']['processor']}, threads: {record['threads']}."
    )
    figure = new_figure("A training step as its sizes grow", note, height=5.2)
    figure.set_size_inches(3.2 * len(axes) + 0.6, 5.2)
    grid = figure.subplots(2, len(axes), squeeze=False, sharex="col")
    for column, (axis, points) in enumerate(axes.items()):
        for framework in sorted({row["framework"] for rows in points.values() for row in rows}):
            found = {int(n): row for n, rows in points.items() for row in rows if row["framework"] == framework}
            slope = record["exponents"][axis].get(next(iter(found.values()))["name"])
            _time(grid[0, column], found, framework, slope)
            _memory(grid[1, column], found, framework)
        grid[0, column].legend()
        grid[1, column].set_xlabel(LABELS.get(axis, axis))
        grid[1, column].set_xticks(sorted(map(int, points)), sorted(map(int, points)))
    grid[0, 0].set_ylabel("milliseconds a step")
    grid[1, 0].set_ylabel("peak memory, MB")
    return save_figure(figure)["png"]


def _time(axes: Axes, found: dict[int, dict], framework: str, slope: dict[str, float] | None) -> None:
    colour, marker = LOOKS[framework]
    spreads = [row["ms_per_step"] for row in found.values()]
    medians = [s["median"] for s in spreads]
    bars = [[s["median"] - s["q1"] for s in spreads], [s["q3"] - s["median"] for s in spreads]]
    name = next(iter(found.values()))["name"] + (f", exponent {slope['last']:.2f} at the end" if slope else "")
    axes.errorbar(list(found), medians, bars, color=colour, marker=marker, ms=4, capsize=2, label=name)
    _logarithmic(axes)


def _memory(axes: Axes, found: dict[int, dict], framework: str) -> None:
    colour, marker = LOOKS[framework]
    axes.plot(list(found), [row["windows_mb"] for row in found.values()], color=colour, marker=marker, ms=4)
    _logarithmic(axes)


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    for each in (axes.xaxis, axes.yaxis):
        each.set_minor_locator(NullLocator())
