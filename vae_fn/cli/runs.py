"""`vae-fn runs [RUNS_DIR]`: what the runs in a folder are and where they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tabulate import tabulate
from tyro.conf import Positional, arg

from vae_fn.cli.ensembles import NOTE, means
from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import parse
from vae_fn.run.checks import ConfigError
from vae_fn.run.folder import ENSEMBLE, read_config
from vae_fn.run.listing import Listed, list_runs
from vae_fn.run.members import summarised

SUMMARY = "List the runs in a folder, with their results."

HEADERS = ("run", "state", "preset", "data", "epochs", "test ELBO", "KL", "protocol", "seconds")

TOGETHER = "seconds of a member are those of its whole ensemble, whose members share the time"
"""What is to be said where members are listed."""

BOUNDS = ("elbo", "kl")
"""What is known of a run in the list, in nats per image."""


@dataclass(frozen=True)
class RunsOptions:
    """List the runs in a folder, with their results, the newest last.

    A run is finished, running, stopped (go on with `vae-fn train --resume RUN`), not finite (see the step with
    `vae-fn replay RUN`) or damaged. ELBO and KL are those of the test images at the end, in nats per image. Of an
    ensemble's folder there are mean and standard deviation over its keys too, as far as its members are finished;
    seconds of a member are those of the whole ensemble.
    """

    runs_dir: Annotated[Path, Positional, arg(metavar="[RUNS_DIR]")] = Path("runs")
    """Folder that the runs are in."""
    json: Path | None = None
    """File to write the list to, as JSON."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        check_json(self.json, None)
        if self.json is not None and (self.json.parent / "config.toml").exists():
            raise ConfigError(f"--json must not be in the folder of a run, as {self.json} is: give another path")


def main(args: Sequence[str]) -> None:
    """List the runs as a table, and as JSON if asked."""
    options = parse(RunsOptions, args, prog="vae-fn runs")
    runs = list_runs(options.runs_dir)
    settings = _settings(options.runs_dir, runs) if (options.runs_dir / ENSEMBLE).is_file() else []
    if options.json is not None:
        together = {"settings": settings} if settings else {}
        listed = {"runs_dir": str(options.runs_dir), "runs": [run._asdict() for run in runs]}
        write_json(options.json, listed | together)
    if options.quiet:
        return
    if not runs:
        print(f"no runs in {options.runs_dir}: `vae-fn train --runs-dir {options.runs_dir}` makes one")
        return
    aligned = [("right" if name in ("epochs", "test ELBO", "KL", "seconds") else "left") for name in HEADERS]
    spreads = [[name, *"----", elbo, kl, *"--"] for name, elbo, kl in means(settings, BOUNDS)]
    print(tabulate([*map(_row, runs), *spreads], HEADERS, disable_numparse=True, colalign=aligned))
    if spreads:
        print(NOTE)
    if any((options.runs_dir / run.name).parent.joinpath(ENSEMBLE).is_file() for run in runs):
        print(TOGETHER)
    for run in runs:
        if run.fault is not None:
            print(printable(f"{run.name} is damaged: {run.fault}"))


def printable(text: str) -> str:
    """A text with whatever could move the cursor or hide other text written as escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _settings(folder: Path, runs: Sequence[Listed]) -> list[dict[str, Any]]:
    """What the members of an ensemble have come to, over the keys of each beta and learning rate, once one has."""
    whole = [run for run in runs if run.state != "damaged"]
    tests = {run.name: {"elbo": run.elbo, "kl": run.kl} if run.state == "finished" else None for run in whole}
    if not any(tests.values()):
        return []
    read = {name: read_config(folder / name) for name in tests}
    members = [{"name": name, "beta": own.beta, "learning_rate": own.learning_rate} for name, own in read.items()]
    return summarised(members, tests, BOUNDS)["settings"]


def _row(run: Listed) -> list[str]:
    state = f"stopped at step {run.steps_done}" if run.state == "stopped" else run.state
    epochs = None if run.epochs is None else f"{run.epochs_done}/{run.epochs}"
    bounds = (None if value is None else f"{value:.2f}" for value in (run.elbo, run.kl))
    seconds = None if run.seconds is None else f"{run.seconds:.1f}"
    cells = (run.name, state, run.preset, run.data, epochs, *bounds, run.protocol, seconds)
    return ["-" if cell is None else printable(cell) for cell in cells]
