"""The figure of the scaling: time above, memory below, a column for each axis."""

from typing import Any

from matplotlib.axes import Axes

from vae_fn.viz.style import BLUE, ORANGE, VERMILLION, logarithmic, new_figure, save_figure, styled

LABELS = {
    "batch": "images in a batch",
    "width": "hidden widths, times the tutorial's",
    "samples": "samples K (IWAE)",
    "members": "members of an ensemble",
    "microbatch": "images at a time of 128 (K = 64)",
}
LOOKS = {"this package": (BLUE, "o"), "JAX": (VERMILLION, "s"), "JAX, vmap": (ORANGE, "D")}
GROWING = ("batch", "width", "samples", "members")
"""The axes along which a step does more work, so that an exponent says something."""


@styled
def draw(record: dict[str, Any]) -> bytes:
    """The PNG."""
    axes = {axis: points for axis, points in record["axes"].items() if points}
    note = (
        f"The least of {record['windows']} alternating windows, bars to the median, and the exponent between the last "
        "two sizes; below, resident memory at its peak in the windows, the libraries included. "
        f"{record['environment']['processor']}, threads: {record['threads']}."
    )
    figure = new_figure("A training step as its sizes grow", note, height=5.2)
    figure.set_size_inches(2.6 * len(axes) + 0.6, 5.2)
    grid = figure.subplots(2, len(axes), squeeze=False, sharex="col")
    looks = {}
    for column, (axis, points) in enumerate(axes.items()):
        time, memory = grid[:, column]
        for name in dict.fromkeys(row["name"] for rows in points.values() for row in rows):
            found = {int(n): row for n, rows in points.items() for row in rows if row["name"] == name}
            looks[name] = _time(time, found, name)
            _memory(memory, found, name)
        for each in (time, memory):
            logarithmic(each, "x", "y")
        if axis in GROWING:
            _exponents(time, record["exponents"][axis])
        memory.set_xlabel(LABELS[axis])
        memory.set_xticks(sorted(map(int, points)))
    grid[0, 0].set_ylabel("milliseconds a step")
    grid[1, 0].set_ylabel("peak memory, MB")
    figure.legend(looks.values(), looks.keys(), loc="outside upper right", ncols=len(looks))
    return save_figure(figure)["png"]


def _time(axes: Axes, found: dict[int, dict], name: str) -> Any:
    colour, marker = LOOKS[name]
    spreads = [row["ms_per_step"] for row in found.values()]
    least = [s["min"] for s in spreads]
    bars = [[0.0] * len(least), [s["median"] - s["min"] for s in spreads]]
    return axes.errorbar(list(found), least, bars, color=colour, marker=marker, ms=4, capsize=2)


def _memory(axes: Axes, found: dict[int, dict], name: str) -> None:
    colour, marker = LOOKS[name]
    axes.plot(list(found), [row["windows_mb"] for row in found.values()], color=colour, marker=marker, ms=4)


def _exponents(axes: Axes, slopes: dict[str, dict[str, float]]) -> None:
    """At the end, in the corner below the lines."""
    for place, (name, slope) in enumerate(slopes.items()):
        axes.text(
            0.97, 0.04 + 0.08 * place, f"{slope['last']:.2f}", color=LOOKS[name][0], ha="right",
            transform=axes.transAxes,
        )  # fmt: skip
