"""Print the tables of docs/laboratory.md from what `vae-fn gradients` and `vae-fn race` measured.

The page names the command of each file in benchmarks/results/laboratory/; this script measures nothing.

    python benchmarks/laboratory.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tabulate import tabulate

RESULTS = Path(__file__).parent / "results/laboratory"

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
            f"{each['forward']} + {each['backward']}",
            f"{each['seconds']:.0f}",
        ]
        for each in found
    ]
    headers = ["estimator", "K", "best rate", "validation ELBO", "spread over keys", "evaluations", "seconds"]
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    """Print all tables."""
    for name in TABLES:
        print(f"{name}\n\n{table(name)}\n")
    print(f"race\n\n{standings()}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
