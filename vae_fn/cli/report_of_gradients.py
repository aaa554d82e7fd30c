"""Where the results of `vae-fn gradients` go: tables on the terminal, files, figures."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vae_fn import random, tree
from vae_fn.cli.measured import advice, csv_text, false_claims, latex, not_finite, oracle_lines, table
from vae_fn.cli.output import write_json
from vae_fn.gradients.oracles.exact import Exact
from vae_fn.lab import Measurement
from vae_fn.run.checks import ConfigError
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic
from vae_fn.run.places import Place
from vae_fn.viz import gradients as figures
from vae_fn.viz import save_figure

Result = tuple[Place, Measurement, list[str]]
"""A place, what was measured there, and the names of the estimators whose q follows something else."""


def make_folder(folder: Path | None) -> None:
    """Make the folder of the figures, before anything is computed.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigError(f"--figures must be a folder that can be made, not {folder} ({fault.strerror})") from fault


def write(options: Any, results: Sequence[Result]) -> None:
    """Print the tables of every place and write every file that is asked for."""
    rows = [row for result in results for row in rows_of(result)]
    oracles = [oracle for result in results for oracle in oracles_of(result, options.data)]
    if not options.quiet:
        for result in results:
            print(_told(result, oracles_of(result, options.data)))
    files = []
    if options.json is not None:
        own = [oracle for oracle in oracles if oracle["target"] == results[-1][0].posed.target]
        content = {"rows": rows, "oracle": (own or oracles)[-1], "oracles": oracles}
        write_json(options.json, content | {"environment": environment("cpu", random.GENERATOR)})
        files.append(options.json)
    for path, text in ((options.csv, csv_text), (options.latex, latex)):
        if path is not None:
            write_atomic(path, text(rows))
            files.append(path)
    if options.figures is not None:
        files += _draw(options.figures, rows)
    if files and not options.quiet:
        print(f"written: {', '.join(map(str, files))}")


def rows_of(result: Result) -> list[dict[str, Any]]:
    """The rows of a place as they stand in the JSON."""
    place, found, _ = result
    return [row.to_dict() | {"step": place.step} for row in found.rows]


def oracles_of(result: Result, data: int) -> list[dict[str, Any]]:
    """Every exact value and gradient, averaged over the data, or why there is none."""
    place, found, _ = result
    count = 1 if place.posed.data is None else len(place.posed.data[:data])
    return [_oracle(*at, exact, count) | {"step": place.step} for at, exact in found.oracles.items()]


def _oracle(target: str, samples: int, exact: Exact | str, count: int) -> dict[str, Any]:
    at = {"target": target, "samples": samples}
    if isinstance(exact, str):
        return at | dict.fromkeys(("method", "value", "gradient_norm", "error_bound")) | {"reason": exact}
    norm = tree.global_norm(exact.grads).item() / count
    numbers = {"value": exact.value.mean().item(), "gradient_norm": norm, "error_bound": exact.error.grads / count}
    return at | {"method": exact.method, **numbers, "reason": None}


def _told(result: Result, oracles: Sequence[Mapping[str, Any]]) -> str:
    place, _, follows = result
    rows = rows_of(result)
    batch = f"mini-batches of {rows[0]['batch_size']}"
    told = [*oracle_lines(oracles), *advice(rows), *not_finite(rows), *false_claims(rows, follows)]
    told += [f"{name}: its q follows another target, and its bias there is the distance to it" for name in follows]
    fewest = min(row["draws"] for row in rows)
    head = f"{place.posed.name}: {fewest} draws or more with each estimator, {batch}"
    return "\n\n".join([head, table(rows), "\n".join(textwrap.fill(line, 120) for line in told)]) + "\n"


def _draw(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    files = []
    for name, figure in drawn(rows).items():
        for ending, content in save_figure(figure).items():
            files.append(folder / f"{name}.{ending}")
            write_atomic(files[-1], content)
    return files


def drawn(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """The figures that mean something for these rows; those of one place show the last one."""
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    made = {"work_normalised_variance": figures.work_normalised_variance(last)}
    if any(row["bias"] is not None for row in last):
        made["bias_against_variance"] = figures.bias_against_variance(last)
    if len({row["samples"] for row in last}) > 1:
        made["signal_to_noise"] = figures.signal_to_noise(last)
    if len({row["step"] for row in rows}) > 1:
        made["variance_along_training"] = figures.variance_along_training(rows)
    return made
