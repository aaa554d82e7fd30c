"""Time the training step beside the tutorial's program, in one process, in alternating windows.

Every program takes the tutorial's step (same network, batch 128, AdamW, clipping at 1). Each round gives every program
one window of steps; a ratio is formed within a round, so that the machine's drift cancels. Compiling and warming up are
outside the windows; gathering the batch and drawing the noise are inside them.

    python benchmarks/step.py [--rounds 15] [--steps 60] [--json benchmarks/results/step.json]
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tutorial_program
from tqdm import tqdm

from vae_fn import random
from vae_fn.compiling import compile_step
from vae_fn.data import load_mnist
from vae_fn.run.assemble import assemble
from vae_fn.run.config import PRESETS
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic
from vae_fn.run.train import initial_state
from vae_fn.training.step import step_by_shape

Step = Callable[[], None]


def functional(edge: Callable) -> Step:
    """The package's step on the tutorial preset, as the training loop calls it."""
    parts = assemble(PRESETS["tutorial"])
    run = step_by_shape(parts.algorithm, edge)
    state = initial_state(parts)
    full_batches = itertools.cycle(range(parts.batches.per_epoch - 1))

    def step() -> None:
        nonlocal state
        state, _ = run(state, parts.batches(next(full_batches)), parts.streams)

    return step


def milliseconds(step: Step, steps: int) -> float:
    """The mean time of a step over one window."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps * 1e3


def first_call(step: Step) -> float:
    """Seconds until the first step is done: compiling, for what is compiled."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def spread(values: list[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(values, n=4)
    return {"min": min(values), "q1": q1, "median": median, "q3": q3, "max": max(values)}


def measure(programs: dict[str, Step], reference: str, rounds: int, steps: int) -> list[dict]:
    """A row per program: its times, and how many times as fast as it the reference is, round by round."""
    first = {name: first_call(step) for name, step in programs.items()}
    for step in programs.values():
        milliseconds(step, steps // 4)
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in tqdm(range(rounds), desc="rounds"):
        for name, step in programs.items():
            times[name].append(milliseconds(step, steps))
    return [
        {
            "name": name,
            "first_call_s": first[name],
            "ms_per_step": spread(times[name]),
            "reference_is_faster": spread([t / r for t, r in zip(times[name], times[reference], strict=True)]),
        }
        for name in programs
    ]


def table(rows: list[dict], reference: str) -> str:
    lines = [f"{'program':<38} {'ms/step median':>14} {'q1 .. q3':>16}   {reference} is faster by (median, q1 .. q3)"]
    for row in rows:
        t, r = row["ms_per_step"], row["reference_is_faster"]
        lines.append(
            f"{row['name']:<38} {t['median']:>14.2f} {t['q1']:>7.2f} .. {t['q3']:<5.2f}"
            f"   {r['median']:.2f}  ({r['q1']:.2f} .. {r['q3']:.2f})"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="windows of each program")
    parser.add_argument("--steps", type=int, default=60, help="steps in a window")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "step.json")
    args = parser.parse_args()
    if args.rounds < 2 or args.steps < 4:
        parser.error("give at least 2 rounds and 4 steps")
    reference = "compiled"
    with tempfile.TemporaryDirectory() as folder:
        programs = {
            "tutorial, data loader": tutorial_program.stepper(tutorial_program.batches_from_loader(Path(folder))),
            "tutorial, data in memory": tutorial_program.stepper(
                tutorial_program.batches_in_memory(load_mnist().train.images)
            ),
            "functional, eager": functional(lambda step: step),
            reference: functional(compile_step),
        }
        rows = measure(programs, reference, args.rounds, args.steps)
    print(table(rows, reference))
    record = {
        "rows": rows,
        "rounds": args.rounds,
        "steps": args.steps,
        "load_average": os.getloadavg(),
        "environment": environment("cpu", random.GENERATOR) | {"command": ["benchmarks/step.py"]},
    }
    write_atomic(args.json, json.dumps(record, indent=2) + "\n")
    print(f"written to {args.json}")


if __name__ == "__main__":
    main()
