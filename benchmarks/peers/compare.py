"""Time this package's training step beside what people use instead, each program in a process of its own.

    .venv/bin/python benchmarks/peers/compare.py [--windows 9] [--steps 120]

All programs begin with the same weights and must first give the same losses. Then they take their windows of steps in
turn, while the others are idle. Writes results/peers.json and results/peers.png.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import reference
import report
from others import BUSY
from process import Failed, Row, alternate, started, with_threads
from reference import ParityError
from rows import REFERENCE, ROWS
from task import Task

from vae_fn import random
from vae_fn.data import load_mnist
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic

RESULTS = Path(__file__).parent.parent / "results"
PACKAGES = ("torch", "jax", "jaxlib", "optax", "lightning", "pythae", "numpy")


def measure(
    rows: Sequence[Row], sizes: Task, images: Any, windows: int, steps: int, against: str, surroundings: dict[str, str]
) -> dict[str, Any]:
    """Start the programs, hold their losses against ours in float64, and time them.

    Raises:
        ParityError: a program does another step.
        Failed: a program broke.
    """
    with tempfile.TemporaryDirectory() as folder:
        right = reference.prepare(Path(folder), sizes, images)
        with started(rows, Path(folder), surroundings) as (peers, left_out):
            parity = [reference.check(p.row.name, p.row.precision, p.ready["losses"], right) for p in peers]
            against = against if against in [peer.row.name for peer in peers] else peers[0].row.name
            alternate(peers, 1, steps)  # the warm-up
            times, others = alternate(peers, windows, steps)
            found = [report.row_of(peer, times, against, same) for peer, same in zip(peers, parity, strict=True)]
    return {
        "reference": against,
        "rows": found,
        "left_out": left_out,
        "right_losses": [right[0], right[-1]],
        "parity_steps": len(right) - 1,
        "windows": windows,
        "steps": steps,
        "task": sizes._asdict(),
        "others": others,
        "busy": others > BUSY,
    }


def versions() -> dict[str, str | None]:
    """Of every framework; None of one that is not installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    parser.add_argument("--windows", type=int, default=9, help="windows of each program, at least 5 for a record")
    parser.add_argument("--steps", type=int, default=120, help="steps in a window, a multiple of --chunk")
    parser.add_argument("--chunk", type=int, default=60, help="steps in a call of programs that take many at once")
    parser.add_argument("--threads", type=int, default=threads, help="of every program")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="rows with one of these in their names")
    parser.add_argument("--reference", default=REFERENCE, help="the row that ratios are formed with")
    parser.add_argument("--warm-cache", action="store_true", help="keep torch's cache of compiled code: a quick look")
    parser.add_argument("--json", type=Path, default=RESULTS / "peers.json", help="the record; the figure lies beside")
    options = parser.parse_args()
    if options.windows < 2 or options.steps % options.chunk or options.chunk < 1:
        parser.error("give at least 2 --windows, and --steps that are a multiple of --chunk")
    if not 1 <= options.threads <= len(os.sched_getaffinity(0)):
        parser.error(f"--threads must be between 1 and the {len(os.sched_getaffinity(0))} processors there are")
    options.rows = report.select(ROWS, options.only)
    if not options.rows:
        parser.error("no row has one of these words in its name: " + ", ".join(row.name for row in ROWS))
    return options


def main() -> None:
    """Measure, print and write."""
    options = arguments()
    with tempfile.TemporaryDirectory() as cache:
        surroundings = with_threads(options.threads, None if options.warm_cache else Path(cache))
        sizes, images = Task(chunk=options.chunk), load_mnist().train.images.numpy()
        try:
            record = measure(
                options.rows, sizes, images, options.windows, options.steps, options.reference, surroundings
            )
        except (ParityError, Failed) as error:
            sys.exit(str(error))
    record |= {
        "threads": options.threads,
        "cold_cache": not options.warm_cache,
        "versions": versions(),
        "environment": environment("cpu", random.GENERATOR) | {"command": ["benchmarks/peers/compare.py"]},
    }
    write_atomic(options.json, json.dumps(record, indent=2, allow_nan=False) + "\n")
    write_atomic(options.json.with_suffix(".png"), report.figure(record))
    print(report.table(record))
    if record["busy"]:
        print(f"warning: the machine was busy (others took {record['others']:.0%} of its time); run it again")
    print(f"written to {options.json} and {options.json.with_suffix('.png')}")


if __name__ == "__main__":
    main()
