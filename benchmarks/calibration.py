"""How often the sampled tiers of vae_fn.verify reject what is right, and how often they see what is wrong.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/calibration.py

Writes results/calibration.json and results/calibration.png. The draws are those of keys hashed from the claims; the
levels and powers do not depend on the machine, the times (`ms`) do.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from calibration_draws import subjects
from calibration_figure import draw
from calibration_level import STAGE_DRAWS, false_alarms, heavy_tails
from calibration_power import caught, curves, mutant_rows
from tabulate import tabulate
from tqdm import tqdm

from vae_fn import random
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic

RESULTS = Path(__file__).parent / "results"
VARIANCES = (0.7, 0.55, 0.5, 0.4, 0.3, 0.2)
"""Of the proposals whose importance weights have heavier and heavier tails."""


def measure(runs: int, tail_runs: int, mutant_runs: int, curve_runs: int) -> tuple[dict[str, Any], bytes]:
    """The record, and the figure."""
    boxes, levels, shapes, p_values = subjects(), [], [], {}
    for subject in tqdm(boxes, desc="false alarms"):
        rows, tail = false_alarms(subject, runs)
        p_values[subject.name] = tail.pop("p_values")
        levels, shapes = [*levels, *rows], [*shapes, tail]
    weights = list(heavy_tails(VARIANCES, tail_runs))
    power = list(mutant_rows(mutant_runs))
    curve = list(curves(boxes[0], curve_runs))
    record = {
        "false_alarm": levels,
        "tails": {"benign": shapes, "importance_weights": weights},
        "power": power,
        "mutants": caught(power),
        "curves": curve,
    }
    return record, draw(p_values, curve, STAGE_DRAWS[1])


def tables(record: dict[str, Any]) -> str:
    """What a person wants to see first."""
    levels = [
        {
            "estimator": row["estimator"],
            "procedure": f"{row['procedure']} ({row['whose']})",
            "n": row["n"],
            "alpha": f"{row['alpha']:.2g}",
            "alarms": f"{row['alarms']} of {row['runs']}",
            "rate": f"{row['alarms'] / row['runs']:.2g}",
            "inconclusive": row["inconclusive"],
            "draws": f"{row['draws']:.0f}",
        }
        for row in record["false_alarm"]
    ]
    power = [
        {
            "mutant": row["mutant"],
            "tier": row["tier"],
            "detect": row["detect"],
            "bias/sd": row["bias_sd"],
            "caught": f"{row['caught']} of {row['runs']}" if row["runs"] else "not applicable",
            "ms": row["ms"],
        }
        for row in record["power"]
    ]
    parts = [levels, record["tails"]["benign"], record["tails"]["importance_weights"], power, record["curves"]]
    return "\n\n".join(tabulate(part, headers="keys", floatfmt=".3g") for part in parts)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5000, help="of every procedure on a right claim")
    parser.add_argument("--tail-runs", type=int, default=600, help="on each law of importance weights")
    parser.add_argument("--mutant-runs", type=int, default=20, help="of every tier on a mutant, at detect 0.1")
    parser.add_argument("--curve-runs", type=int, default=100, help="of every procedure at a bias")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    record, figure = measure(options.runs, options.tail_runs, options.mutant_runs, options.curve_runs)
    record |= {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time(),
        "load_average": os.getloadavg(),
        "environment": environment("cpu", random.GENERATOR) | {"command": ["benchmarks/calibration.py"]},
    }
    write_atomic(options.results / "calibration.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    write_atomic(options.results / "calibration.png", figure)
    print(tables(record))
    found = record["mutants"]
    print(
        f"\nmutants caught: {found['caught']} of {found['total']}; by no test of a mean: {', '.join(found['missed'])}"
    )
    print(f"written to {options.results / 'calibration.json'} and {options.results / 'calibration.png'}")


if __name__ == "__main__":
    main()
