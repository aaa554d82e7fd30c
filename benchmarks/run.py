"""What surrounds the steps of a run: time to the first step, the share of logging, evaluation and checkpoints, memory.

The share of a part is its time within the training loop; the evaluation that gives a run its result, after the loop, is
stated by itself. `over_steps` is the time of the loop from the second epoch on, its last row and checkpoint included,
over that of its steps alone: the sum of their times, as a machine that changes its mode in a run has no typical one.

    .venv/bin/python benchmarks/run.py

Trains the tutorial preset in processes of their own and writes results/run.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from vae_fn import random
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic

RESULTS = Path(__file__).parent / "results" / "run.json"

TO_THE_FIRST_STEP = """
import os, sys, time
from vae_fn.run import sitting
original = sitting.advancing
def spied(members):
    advance = original(members)
    def first(*args):
        _, infos = advance(*args)
        float(infos[0, 0, 0])
        print(time.time(), file=sys.stderr)
        os._exit(0)
    return first
sitting.advancing = spied
"""

OVERHEAD = """
import json, resource, sys, time
from vae_fn.run import recorder, sitting
spent = dict.fromkeys(("rows", "evaluation", "tensorboard", "checkpoints", "loop", "result"), 0.0)
ends = {}
def timed(name, fn):
    def inner(*args, **rest):
        start = time.perf_counter()
        result = fn(*args, **rest)
        ends[name] = time.perf_counter()
        spent[name] += ends[name] - start
        return result
    return inner
recorder.metrics_row = timed("rows", recorder.metrics_row)
recorder.evaluate_elbo = timed("evaluation", recorder.evaluate_elbo)
recorder.Board.pictures = timed("tensorboard", recorder.Board.pictures)
recorder.Board.scalars = timed("tensorboard", recorder.Board.scalars)
recorder.save_checkpoint = timed("checkpoints", recorder.save_checkpoint)
recorder.Recorder.test = timed("result", recorder.Recorder.test)
sitting.fit = timed("loop", sitting.fit)
original, calls = sitting.advancing, []
def advancing(members):
    advance = original(members)
    def clocked(states, step, count):
        start = time.perf_counter()
        result = advance(states, step, count)
        calls.append((step, count, start, time.perf_counter()))
        return result
    return clocked
sitting.advancing = advancing
def over_steps(per_epoch, end):
    later = [call for call in calls if call[0] >= per_epoch]
    return (end - later[0][2]) / sum(done - start for *_, start, done in later) if later else None
import atexit
def report():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent["evaluation"] -= spent["result"]  # the evaluation after the loop
    told = {"over_steps": over_steps(PER_EPOCH, ends["loop"]), "peak_mb": usage.ru_maxrss / 1024}
    print("REPORT" + json.dumps(spent | told))
atexit.register(report)
"""

PER_EPOCH = 469
"""Steps of an epoch of the tutorial preset."""

COMMAND = "from vae_fn.cli.main import main; raise SystemExit(main())"


def command(*args: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, after a prelude."""
    return subprocess.run(
        [sys.executable, "-c", f"{prelude}\n{COMMAND}", *args], capture_output=True, text=True, check=True
    )


def first_step(runs: str) -> float:
    """Seconds from the start of the process to the end of the first compiled step."""
    start = time.time()
    result = command("train", "--quiet", "--runs-dir", runs, "--overwrite", prelude=TO_THE_FIRST_STEP)
    return float(result.stderr.strip().splitlines()[-1]) - start


def overhead(runs: str, epochs: int) -> dict[str, float]:
    """Seconds of a run's loop and of its parts, without the first epoch, which compiles.

    Of the whole run are `result`, the seconds of the evaluation at the end, `over_steps`, and `peak_mb`, in MB.
    """
    args = ("train", "--quiet", "--runs-dir", runs, "--overwrite", "--epochs")
    command(*args, "1")  # fills the cache, for the short last batch too
    prelude = f"PER_EPOCH = {PER_EPOCH}{OVERHEAD}"
    short, long = (
        json.loads(command(*args, str(count), prelude=prelude).stdout.split("REPORT")[1]) for count in (1, 1 + epochs)
    )
    whole = {name: long[name] for name in ("result", "over_steps", "peak_mb")}
    return {name: long[name] - short[name] for name in short if name not in whole} | whole


def help_time() -> float:
    """Seconds that `vae-fn train --help` takes."""
    start = time.perf_counter()
    command("train", "--help")
    return time.perf_counter() - start


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="epochs to measure")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as runs:
        first_step(runs)  # fills the cache
        warm, asked = (min(measure() for _ in range(3)) for measure in (lambda: first_step(runs), help_time))
        spent = overhead(runs, options.epochs)
    share = {name: spent[name] / spent["loop"] for name in ("rows", "evaluation", "tensorboard", "checkpoints")}
    result = {
        "help_s": asked,
        "first_step_warm_s": warm,
        "seconds_per_epoch": spent["loop"] / options.epochs,
        "over_steps": spent["over_steps"],
        "share": share | {"total": sum(share.values())},
        "result_s": spent["result"],
        "peak_mb": spent["peak_mb"],
        "epochs": options.epochs,
        "load": os.getloadavg(),
        "environment": environment("cpu", random.GENERATOR),
    }
    write_atomic(options.json, json.dumps(result, indent=2) + "\n")
    shown = {"help": f"{asked:.2f} s", "first step, cache warm": f"{warm:.1f} s"}
    shown |= {f"share of {name}": f"{value:.1%}" for name, value in result["share"].items()}
    shown |= {f"{options.epochs} epochs, over their steps alone": f"{result['over_steps']:.3f}"}
    shown |= {"evaluation at the end": f"{spent['result']:.1f} s"}
    print(tabulate([*shown.items(), ("peak memory", f"{spent['peak_mb']:.0f} MB")]))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
