"""Print the tables of docs/laboratory.md from what `vae-fn gradients` and `vae-fn race` measured, or measure them anew.

    python benchmarks/laboratory.py
    OMP_NUM_THREADS=1 python benchmarks/laboratory.py --record [gaussian-costs ...]

To record runs the commands of the page in an empty folder and keeps what they write to `--json`, and the pictures that
the page shows. All of it takes an hour, the race the most.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

RESULTS = Path(__file__).parent / "results/laboratory"
PICTURES = Path(__file__).parent.parent / "docs/pictures/laboratory"

Row = dict[str, Any]

COLUMNS: dict[str, Callable[[Row], str]] = {
    "estimator": lambda row: f"`{row['estimator']}`",
    "K": lambda row: str(row["samples"]),
    "group": lambda row: row["group"],
    "bias": lambda row: _number(row["bias"]),
    "noise alone": lambda row: _number(row["bias_se"]),
    "variance of the noise": lambda row: _number(row["variance_noise"]),
    "exact": lambda row: _number(row["variance_exact"]),
    "of the mini-batch": lambda row: _number(row["variance_batch"]),
    "SNR": lambda row: _number(row["snr"]),
    "evaluations": lambda row: f"{row['forward']} + {row['backward']}",
}
"""The columns of the tables, by their headings."""

TABLES = {
    "gaussian-costs": ("estimator", "bias", "noise alone", "variance of the noise", "exact", "evaluations"),
    "one-bernoulli": ("estimator", "bias", "noise alone", "variance of the noise", "exact", "evaluations"),
    "three-bernoullis": ("estimator", "bias", "noise alone", "variance of the noise", "exact", "evaluations"),
    "categorical-costs": ("estimator", "bias", "noise alone", "variance of the noise", "exact", "evaluations"),
    "rainforth": ("estimator", "K", "group", "bias", "noise alone", "variance of the noise", "SNR"),
    "linear-vae-optimum": ("estimator", "group", "bias", "variance of the noise", "of the mini-batch"),
    "trained-vae": ("estimator", "group", "bias", "noise alone", "variance of the noise", "of the mini-batch", "SNR"),
}
"""The columns of each problem."""


TRAIN = "vae-fn train quick --binarise dynamic --epochs 3"

COMMANDS: dict[str, tuple[str, ...]] = {
    "gaussian-costs": ("vae-fn gradients --problem gaussian-costs --samples 2 --draws 10000",),
    "one-bernoulli": ("vae-fn gradients --problem one-bernoulli --samples 2",),
    "three-bernoullis": ("vae-fn gradients --problem three-bernoullis --samples 2",),
    "categorical-costs": ("vae-fn gradients --problem categorical-costs --cost cubic --samples 2",),
    "rainforth": (
        "vae-fn gradients --problem rainforth --data 1 --estimators iwae,dreg,rws,stl-iwae --samples 1,10,100,1000",
    ),
    "linear-vae-optimum": (
        "vae-fn gradients --problem linear-vae --perturbation 0 --samples 4 --draws 1000 --data 4 "
        "--estimators pathwise,stl,iwae,dreg",
    ),
    "trained-vae": (
        f"{TRAIN} --name trained",
        "vae-fn gradients --run runs/trained --estimators pathwise,stl,iwae,dreg,vimco,rloo "
        "--draws 2000 --samples 2 --data 8",
    ),
    "along-training": (
        f"{TRAIN} --hidden 128 --checkpoint-every 160 --keep-last 8 --name along",
        "vae-fn gradients --run runs/along --along --samples 8 --data 8 --draws 2000 "
        "--estimators pathwise,stl,iwae,dreg,rloo,reinforce-moving-average",
    ),
    "race": (
        "vae-fn race bernoulli-200 --estimators rloo:2,disarm,relax,gumbel-softmax --rates 1e-3,3e-3,1e-2 "
        "--keys 0,1,2 --steps 2500 --every 125",
    ),
}
"""The commands of each file, the last of which writes it."""

SHOWN = {
    "three-bernoullis": "bias_against_variance.png",
    "rainforth": "signal_to_noise.png",
    "along-training": "variance_along_training.png",
    "race": "race.png",
}
"""The pictures on the page, by the command that draws them."""


def record(name: str) -> None:
    """Run the commands of a file and keep it, with its picture.

    Raises:
        subprocess.CalledProcessError: If one fails.
    """
    *before, last = COMMANDS[name]
    drawn = "--out" if name == "race" else "--figures"
    with tempfile.TemporaryDirectory() as folder:
        for command in (*before, f"{last} --json {name}.json {drawn} drawn"):
            print(command, flush=True)
            search = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
            subprocess.run(shlex.split(command), cwd=folder, env={**os.environ, "PATH": search}, check=True)
        shutil.copy(Path(folder, f"{name}.json"), RESULTS)
        if name in SHOWN:
            shutil.copy(Path(folder, "drawn", SHOWN[name]), PICTURES)


def rows(name: str) -> list[Row]:
    """What was measured of a problem."""
    return json.loads((RESULTS / f"{name}.json").read_text())["rows"]


def table(name: str) -> str:
    """The table of a problem, in Markdown."""
    columns = TABLES[name]
    cells = [[COLUMNS[column](row) for column in columns] for row in rows(name)]
    return tabulate(cells, columns, tablefmt="pipe", disable_numparse=True)


def standings() -> str:
    """The standings of the race, in Markdown."""
    found = json.loads((RESULTS / "race.json").read_text())["standings"]
    cells = [
        [
            f"`{each['estimator']}`",
            each["samples"],
            f"{each['learning_rate']:g}" + " (at the edge)" * each["at_edge"],
            f"{each['bound']:.2f}",
            f"{each['spread']:.2f}",
            f"{each['test']:.2f}",
            f"{each['forward']} + {each['backward']}",
            f"{each['seconds']:.0f}",
        ]
        for each in found
    ]
    headers = [
        "estimator",
        "K",
        "best rate",
        "validation ELBO",
        "spread over keys",
        "test ELBO",
        "evaluations",
        "seconds",
    ]
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)


def main(args: Sequence[str] | None = None) -> None:
    """Print all tables, once those asked for are recorded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", nargs="*", choices=COMMANDS, metavar="NAME", help="what to measure anew, or all")
    asked = parser.parse_args(args).record
    for name in COMMANDS if asked == [] else asked or ():
        record(name)
    for name in TABLES:
        print(f"{name}\n\n{table(name)}\n")
    print(f"race\n\n{standings()}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
