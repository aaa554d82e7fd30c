"""How the time and the memory of a step grow with its sizes, for this package and for JAX.

    .venv/bin/python benchmarks/peers/scaling.py [--axis batch width samples members microbatch] [--seconds 2]

One size is changed at a time; all else is the tutorial's. Both programs take many steps a call where steps are short.
Every point is written as soon as it is measured, and those that the record holds already are not measured again
(`--fresh` begins anew). Writes results/scaling.json and .png.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import reference
import report
import scaling_figure
from compare import RESULTS, versions
from others import BUSY
from process import Failed, Peer, Row, alternate, started, with_threads
from reference import ParityError
from tabulate import tabulate
from task import Task

from vae_fn import random
from vae_fn.data import load_mnist
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic


def sized(**changes: Any) -> Task:
    """The tutorial's task but for these sizes, with as many steps in a call as take a tenth of a second or so."""
    sizes = Task(**changes)
    work = sizes.batch / 128 * sizes.samples * (sizes.hidden / 512) ** 2
    return sizes._replace(chunk=max(1, int(16 / work)))


AXES: dict[str, dict[int, Task]] = {
    "batch": {n: sized(batch=n) for n in (32, 128, 512, 2048, 8192)},
    "width": {n: sized(hidden=512 * n) for n in (1, 2, 4, 8)},
    "samples": {n: sized(samples=n, objective="iwae") for n in (1, 8, 64, 512)},
    "members": {n: sized(members=n) for n in (1, 2, 4, 8, 16)},
    "microbatch": {n: sized(samples=64, objective="iwae", microbatch=n) for n in (2, 8, 32, 128)},
}
"""The tasks along each axis. A new axis is a line here, with a field of `Task` that the programs heed."""

OURS = Row("this package", "vae_fn", "float32", "ours.py", {"form": "epoch"})
JAX = Row("JAX", "JAX", "float32", "in_jax.py", {"scan": True, "precision": "float32"})
SIDE_BY_SIDE = Row("JAX, vmap", "JAX", "float32", "in_jax.py", JAX.options | {"vmap": True})


def programs(axis: str) -> list[Row]:
    """What is timed along an axis: members go in turn in the first two rows."""
    return [OURS, JAX, SIDE_BY_SIDE] if axis == "members" else [OURS, JAX]


LIMIT = 1e-4
"""The largest relative error of the loss at the initial weights: K-sample bounds are sums of many exponentials."""


def measure(
    timed: Sequence[Row], sizes: Task, images: np.ndarray, surroundings: dict[str, str], windows: int, seconds: float
) -> list[dict]:
    """A row for each program at these sizes: milliseconds a step, peak memory during the windows, error of the loss."""
    with tempfile.TemporaryDirectory() as folder:
        right = reference.prepare(Path(folder), sizes, images, steps=0)[0]
        with started(timed, Path(folder), surroundings) as (peers, _):
            steps = _steps(peers, sizes.chunk, seconds)
            times, others = alternate(peers, windows, steps)
            rows = [_row(peer, times[peer.row.name], right, steps) for peer in peers]
            return [row | {"others": others, "busy": others > BUSY} for row in rows]


def _steps(peers: Sequence[Peer], chunk: int, seconds: float) -> int:
    """As many steps as the slowest program takes in the time of a window, in whole calls, after a warm-up."""
    slowest = max(min(peer.window(chunk) for _ in range(3)) for peer in peers)
    return chunk * max(1, int(seconds / slowest))


def _row(peer: Peer, times: list[float], right: float, steps: int) -> dict[str, Any]:
    error = abs(peer.ready["losses"][0] - right) / abs(right)
    if not error <= LIMIT:
        raise ParityError(f"{peer.row.name} does not do the same step: its loss is {error:.1e} off")
    memory = peer.quit()
    found = {"name": peer.row.name, "framework": peer.row.framework, "ms_per_step": report.spread(times)}
    return found | {"steps": steps, "first_step_s": peer.ready["first_step_s"], "error": error, **memory}


def exponents(points: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    """The slope of log time over log size along an axis, by program: over all points, and between the last two.

    Of the least times: whatever else goes on in the machine can only add.
    """
    found = {}
    for name in dict.fromkeys(row["name"] for rows in points.values() for row in rows):
        pairs = [(int(n), r["ms_per_step"]["min"]) for n, rows in points.items() for r in rows if r["name"] == name]
        size, ms = np.log(sorted(pairs)).T
        if len(size) > 1:
            found[name] = {"all": _slope(size, ms), "last": _slope(size[-2:], ms[-2:])}
    return found


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def table(record: dict[str, Any], format: str = "simple") -> str:
    """A line for each point and program, then the exponents."""
    lines = [
        {
            "size": f"{axis} {n}",
            "program": row["name"],
            "ms a step": f"{row['ms_per_step']['median']:.2f}",
            "least": f"{row['ms_per_step']['min']:.2f}",
            "peak MB": f"{row['windows_mb']:.0f}",
        }
        for axis, points in record["axes"].items()
        for n, rows in points.items()
        for row in rows
    ]
    slopes = [
        f"time grows with {axis} to the power {slope['all']:.2f} ({slope['last']:.2f} at the end): {name}"
        for axis, by_name in record["exponents"].items()
        for name, slope in sorted(by_name.items())
    ]
    shown = tabulate(lines, headers="keys", tablefmt=format, disable_numparse=True)
    return "\n".join([shown, "", *(f"- {slope}" for slope in slopes)])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    parser.add_argument("--axis", nargs="+", choices=AXES, default=list(AXES), help="what to change")
    parser.add_argument("--largest", type=int, default=10**9, help="no sizes beyond this")
    parser.add_argument("--windows", type=int, default=5, help="windows of each program at a point")
    parser.add_argument("--seconds", type=float, default=2.0, help="a window of the slower program, about")
    parser.add_argument("--threads", type=int, default=threads, help="of every program")
    parser.add_argument("--fresh", action="store_true", help="forget the points of the record")
    parser.add_argument(
        "--json", type=Path, default=RESULTS / "scaling.json", help="the record; the figure lies beside"
    )
    options = parser.parse_args()
    if options.windows < 2:
        parser.error("give at least 2 --windows")
    return options


def main() -> None:
    """Measure what is not measured yet, print and write."""
    options = arguments()
    old = json.loads(options.json.read_text()) if options.json.exists() and not options.fresh else {}
    now = _protocol(options)
    if differing := [name for name, value in now.items() if old and old.get(name) != value]:
        sys.exit(f"{options.json} was measured with other {' and '.join(differing)}: take the same, or --fresh")
    axes: dict[str, dict[str, list[dict]]] = old.get("axes", {})
    given = load_mnist().train.images.numpy(), with_threads(options.threads, None), options.windows, options.seconds
    for axis in options.axis:
        points = axes.setdefault(axis, {})
        for size, sizes in AXES[axis].items():
            if str(size) in points or size > options.largest:
                continue
            print(f"{axis} {size}", file=sys.stderr)
            try:
                points[str(size)] = measure(programs(axis), sizes, *given)
            except (ParityError, Failed) as error:
                sys.exit(f"{axis} {size}: {error}")
            record = _record(axes, options)
            write_atomic(options.json, json.dumps(record, indent=2, allow_nan=False) + "\n")
            write_atomic(options.json.with_suffix(".png"), scaling_figure.draw(record))
    print(table(_record(axes, options)))


def _protocol(options: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for all points of a record."""
    timed = {axis: {row.name: row.options for row in programs(axis)} for axis in AXES}
    return {"threads": options.threads, "windows": options.windows, "programs": timed, "versions": versions()}


def _record(axes: dict[str, dict[str, list[dict]]], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "axes": axes,
        "exponents": {axis: exponents(points) for axis, points in axes.items()},
        "busy": any(row["busy"] for points in axes.values() for rows in points.values() for row in rows),
        "environment": environment("cpu", random.GENERATOR) | {"command": ["benchmarks/peers/scaling.py"]},
        **_protocol(options),
    }


if __name__ == "__main__":
    main()
