"""`vae-fn race [PRESET]`: train by several estimators, each at its best learning rate, and compare the bounds."""

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from vae_fn.cli.output import check_json, write_figure, write_json
from vae_fn.cli.parse import parse_preset
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import PRESET_HELP, PRESETS, TrainConfig
from vae_fn.run.estimators import TRAITS

if TYPE_CHECKING:
    from vae_fn.lab.race import Curve, Leg, Standing

SUMMARY = "Race estimators: the same training by each, every one at its own best learning rate."

PROG = "vae-fn race"


@dataclass(frozen=True)
class RaceOptions:
    """Which estimators race, and for how long; the other settings are those of `vae-fn train`."""

    settings: OmitArgPrefixes[TrainConfig]
    estimators: Annotated[str, arg(metavar="NAME[:K],...")] = "rloo,disarm"
    """Who races: estimators of `vae-fn gradients --list` with commas between; K samples each, or the fewest that one
    takes."""
    rates: str = "3e-4,1e-3,3e-3"
    """Learning rates, with commas between."""
    keys: str = "0,1,2"
    """Seeds, with commas between; each is a training with its own initial parameters, batches and noise."""
    steps: int = 2_000
    """Training steps of each."""
    every: int = 200
    """Steps between two looks at the bound of the held-out images."""
    out: Path = Path("race")
    """Folder for the legs, the rows and the figure. A race that was stopped goes on there with the same command."""
    json: Path | None = None
    """File to write the standings to, as JSON."""
    quiet: bool = False
    """Show no progress and no results."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.every < 1:
            raise ConfigError(f"steps and every must be positive, not {self.steps} and {self.every}")
        if not self.settings.held_out:
            raise ConfigError("a race is judged on held-out images: use --held-out 5000 or another number")
        for check in (self.entrants, lambda: self.numbers("rates", float), lambda: self.numbers("keys", int)):
            check()
        check_json(self.json, None)

    def entrants(self) -> list[tuple[str, int]]:
        """Names, and samples of each.

        Raises:
            ConfigError: one does not exist, or K is no positive number.
        """
        found = []
        for part in filter(None, (part.strip() for part in self.estimators.split(","))):
            name, colon, k = part.partition(":")
            if name not in TRAITS:
                raise ConfigError(f"there is no estimator {name!r}: `vae-fn gradients --list` tells all")
            if colon and not (k.isdecimal() and int(k)):
                raise ConfigError(f"K of {part!r} must be a positive number, as in {name}:2")
            found.append((name, int(k) if colon else TRAITS[name].fewest))
        if not found:
            raise ConfigError("nobody races: name estimators, as in --estimators rloo:2,disarm")
        return list(dict.fromkeys(found))

    def numbers(self, option: str, kind: type) -> list[Any]:
        """The numbers of an option, each once, sorted.

        Raises:
            ConfigError: there is none, or a part is no number.
        """
        parts = [part.strip() for part in getattr(self, option).split(",") if part.strip()]
        try:
            values = sorted({kind(part) for part in parts})
        except ValueError:
            values = []
        if not values:
            raise ConfigError(f"{option} are numbers with commas between, not {getattr(self, option)!r}")
        return values


def main(args: Sequence[str]) -> None:
    """Race, print the standings, and write rows and figure."""
    presets = "\n".join(f"  {name}: {text}" for name, text in PRESET_HELP.items())
    starts = {name: RaceOptions(preset) for name, preset in PRESETS.items() if preset.held_out}
    options = parse_preset(starts, args, prog=PROG, description=f"{SUMMARY}\n\nPresets:\n{presets}")
    for name in ("torch.utils.cpp_extension", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of each machine without a GPU, and of slow starts
    from tqdm import tqdm

    from vae_fn.lab.race import standings
    from vae_fn.run.races import legs_of, race

    config = options.settings
    legs = legs_of(options.entrants(), options.numbers("rates", float), options.numbers("keys", int), config)
    total = len(legs) * options.steps
    with tqdm(total=total, unit="step", dynamic_ncols=True, disable=options.quiet, file=sys.stderr) as bar:

        def progress(leg: "Leg", steps: int) -> None:
            bar.set_postfix_str(f"{leg.estimator} {leg.learning_rate:g} key {leg.key}", refresh=False)
            bar.update(steps)

        curves = dict(race(legs, config, options.out, options.steps, options.every, progress))
    _write(options, curves)
    found = standings(curves)
    if options.json is not None:
        write_json(options.json, {"standings": [_as_json(each) for each in found], "steps": options.steps})
    if not options.quiet:
        print(_table(found, len(options.numbers("keys", int))))
        print(f"results in {options.out}")


def _write(options: RaceOptions, curves: "Mapping[Leg, Curve]") -> None:
    import csv
    import io

    from vae_fn.lab.race import best
    from vae_fn.run.folder import write_atomic
    from vae_fn.viz.race import curves_of, race_figure

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["estimator", "samples", "learning_rate", "key", "step", "seconds", "forward", "backward", "split", "bound"]
    )
    for leg, curve in curves.items():
        forward, backward = curve.evaluations
        for step, seconds, bound in curve.points:
            rows.writerow([*leg, step, f"{seconds:.3f}", step * forward, step * backward, "validation", bound])
    write_atomic(options.out / "rows.csv", text.getvalue())
    write_figure(options.out / "race.png", race_figure(curves_of(best(curves))))
    write_figure(options.out / "race.svg", race_figure(curves_of(best(curves))))


def _as_json(standing: "Standing") -> dict[str, Any]:
    values = standing._asdict() | standing.evaluations._asdict()
    del values["evaluations"]
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _table(found: "Sequence[Standing]", keys: int) -> str:
    from tabulate import tabulate

    rows = [
        [
            each.estimator,
            each.samples,
            f"{each.learning_rate:g}" + "*" * each.at_edge,
            f"{each.bound:.2f}",
            f"{each.spread:.2f}" if math.isfinite(each.spread) else "-",
            f"{each.evaluations.forward}+{each.evaluations.backward}",
            f"{each.seconds:.0f}",
        ]
        for each in found
    ]
    headers = ["estimator", "K", "best rate", "bound", "spread", "evaluations", "seconds"]
    note = (
        f"bound: ELBO of the held-out images in nats, mean over {keys} key{'s' * (keys != 1)}; spread: standard "
        "deviation over them;\nevaluations of f, forward + backward, for one image and step; seconds of training, "
        "compiling apart."
    )
    edge = "\n* at the edge of the rates that were tried: a better one may lie beyond." * any(s.at_edge for s in found)
    return f"{tabulate(rows, headers, disable_numparse=True, stralign='right')}\n{note}{edge}"
