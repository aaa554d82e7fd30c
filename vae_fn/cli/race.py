"""`vae-fn race [PRESET]`: train by several estimators, each at its best learning rate, and compare the bounds."""

import inspect
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import UsageError, did_you_mean, in_own_options, parse_preset
from vae_fn.run.checks import LARGEST, ConfigError, check_number, check_seed
from vae_fn.run.config import PRESET_HELP, PRESETS, TrainConfig
from vae_fn.run.estimators import TRAITS
from vae_fn.run.members import listed
from vae_fn.words import counted

if TYPE_CHECKING:
    from vae_fn.lab.race import Curve, Leg, Standing

SUMMARY = "Race estimators: the same training by each, every one at its own best learning rate."

PROG = "vae-fn race"

INSTEAD = {
    "--learning-rate": "--rates",
    "--estimator": "--estimators",
    "--samples": "--estimators, with K after a name as in rloo:2",
    "--key": "--keys",
    "--epochs": "--steps",
    "--log-every": "--every",
    **dict.fromkeys(("--runs-dir", "--name"), "--out"),
    **dict.fromkeys(
        ("--checkpoint-every", "--keep-last", "--keep-best", "--no-keep-best"),
        "nothing: a race that is stopped goes on by itself",
    ),
    **dict.fromkeys(("--tensorboard", "--no-tensorboard"), "nothing: a race draws its own figure"),
    **dict.fromkeys(("--cuda-graph", "--no-cuda-graph"), "nothing: the legs of a race take their steps one by one"),
    **dict.fromkeys(("--skip-nonfinite", "--no-skip-nonfinite"), "nothing: a leg that is lost ends, and is told"),
}
"""Options of `vae-fn train` that each leg has its own of, or that mean nothing here, and what to use."""


@dataclass(frozen=True)
class RaceOptions:
    """Which estimators race, and for how long; the other settings are those of `vae-fn train`.

    Each estimator is shown at the rate with the best bound of the held-out images at the end, averaged over the keys.
    The bound of the test images is told beside it and chooses nothing.
    """

    settings: OmitArgPrefixes[TrainConfig]
    estimators: Annotated[str, arg(metavar="NAME[:K],...")] = "rloo,disarm"
    """Who races: estimators of `vae-fn gradients --list` with commas between.
    Each takes K samples, or the fewest that it can."""
    rates: str = "1e-3,3e-3,1e-2"
    """Learning rates, with commas between."""
    keys: str = "0,1,2"
    """Seeds, with commas between; each is a training with its own initial parameters, batches and noise."""
    steps: int = 2_000
    """Training steps of each."""
    every: int = 200
    """Steps between two looks at the bound of the held-out images."""
    bound_samples: int = 1
    """Samples K of the bound that is looked at; 1 is the ELBO."""
    out: Path = Path("race")
    """Folder for the legs, the rows and the figure. A race that was stopped goes on there with the same command.
    More estimators, rates or keys are added to it."""
    json: Path | None = None
    """File to write the standings to, as JSON."""
    quiet: bool = False
    """Show no progress and no results."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.every < 1:
            raise ConfigError(f"steps and every must be positive, not {self.steps} and {self.every}")
        if not 1 <= self.bound_samples <= LARGEST["samples"]:
            raise ConfigError(f"bound_samples must be positive and at most {LARGEST['samples']}")
        if not self.settings.held_out:
            raise ConfigError("a race is judged on held-out images: use --held-out 5000 or another number")
        self.entrants()
        for rate in self.numbers("rates", float):
            check_number("learning_rate", rate, "rates")
        for key in self.numbers("keys", int):
            check_seed(key, "keys")
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
                raise ConfigError(f"there is no estimator {name!r}.{did_you_mean(name, TRAITS)}")
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
        return sorted(set(listed(option, getattr(self, option), kind)))


def main(args: Sequence[str]) -> None:
    """Race, print the standings, and write rows and figure."""
    _check_own(args)
    names = [name for name in PRESETS if PRESETS[name].held_out]
    names.sort(key=lambda name: PRESETS[name].latent_family == "normal")  # those of the estimators that race by default
    if args and args[0] in PRESETS and args[0] not in names:
        raise UsageError(
            f"the preset {args[0]!r} holds out no images, by which a race is judged: choose from {', '.join(names)}"
        )
    presets = "\n".join(f"  {name}: {PRESET_HELP[name]}" for name in names)
    starts = {name: RaceOptions(PRESETS[name]) for name in names}
    about = inspect.getdoc(RaceOptions)
    options = parse_preset(
        starts,
        args,
        prog=PROG,
        description=f"{SUMMARY}\n\n{about}\n\nPresets, of which the first is the default:\n{presets}",
    )
    for name in ("torch.utils.cpp_extension", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of each machine without a GPU, and of slow starts
    from vae_fn.lab.race import standings

    with in_own_options(INSTEAD):
        curves = _raced(options)
    _write(options, curves)
    found = standings(curves)
    if options.json is not None:
        said = {"steps": options.steps, "bound_samples": options.bound_samples}
        write_json(options.json, {"standings": [_as_json(each) for each in found]} | said)
    if not options.quiet:
        print(_table(found, options))
        print(f"results in {options.out}")


def _check_own(args: Sequence[str]) -> None:
    for given in args:
        option = given.partition("=")[0].replace("_", "-")
        if option in INSTEAD:
            raise UsageError(f"{option} is no option of a race: use {INSTEAD[option]}")


def _raced(options: RaceOptions) -> "dict[Leg, Curve]":
    from tqdm import tqdm

    from vae_fn.run.races import Distance, legs_of, race

    config, distance = options.settings, Distance(options.steps, options.every, options.bound_samples)
    legs = legs_of(options.entrants(), options.numbers("rates", float), options.numbers("keys", int), config)
    place = {leg: number * options.steps for number, leg in enumerate(legs)}
    total = len(legs) * options.steps
    with tqdm(total=total, unit="step", dynamic_ncols=True, disable=options.quiet, file=sys.stderr) as bar:

        def progress(leg: "Leg", step: int) -> None:
            bar.set_postfix_str(f"{leg.estimator}:{leg.samples} at {leg.learning_rate:g}, key {leg.key}", refresh=False)
            bar.update(place[leg] + step - bar.n)

        return dict(race(legs, config, options.out, distance, progress))


def _write(options: RaceOptions, curves: "Mapping[Leg, Curve]") -> None:
    import csv
    import io

    from vae_fn.lab.race import best
    from vae_fn.run.folder import write_atomic
    from vae_fn.viz.race import curves_of, race_figure
    from vae_fn.viz.style import save_figure

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["estimator", "samples", "learning_rate", "key", "step", "seconds", "forward", "backward", "split", "bound"]
    )
    for leg, curve in curves.items():
        looks = [(point, "validation", point.bound) for point in curve.points]
        for point, split, bound in [*looks, (curve.points[-1], "test", curve.test)]:
            spent = [f"{point.seconds:.3f}", *(point.step * each for each in curve.evaluations)]
            rows.writerow([*leg, point.step, *spent, split, bound])
    write_atomic(options.out / "rows.csv", text.getvalue())
    figure = race_figure(curves_of(best(curves)), _bound_name(options.bound_samples))
    for kind, content in save_figure(figure).items():
        write_atomic(options.out / f"race.{kind}", content)


def _bound_name(samples: int) -> str:
    return "ELBO" if samples == 1 else f"{samples}-sample bound"


def _as_json(standing: "Standing") -> dict[str, Any]:
    values = standing._asdict() | standing.evaluations._asdict()
    del values["evaluations"]
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _table(found: "Sequence[Standing]", options: RaceOptions) -> str:
    from tabulate import tabulate

    keys = len(options.numbers("keys", int))

    rows = [
        [
            each.estimator,
            each.samples,
            f"{each.learning_rate:g}" + "*" * each.at_edge,
            f"{each.bound:.2f}",
            f"{each.spread:.2f}" if math.isfinite(each.spread) else "-",
            f"{each.test:.2f}",
            f"{each.evaluations.forward}+{each.evaluations.backward}",
            f"{each.seconds:.0f}",
        ]
        for each in found
    ]
    headers = ["estimator", "K", "best rate", "bound", "spread", "test", "evaluations", "seconds"]
    note = (
        f"bound: {_bound_name(options.bound_samples)} of the held-out images in nats, mean over "
        f"{counted(keys, 'key')}, which chose the rate; spread: standard\ndeviation over them; test: the same of the "
        "test images, which chose nothing; evaluations of f, forward + backward,\nfor one image and step; seconds of "
        "training without compiling and looking, median over keys."
    )
    edge = "\n* at the edge of the rates that were tried: a better one may lie beyond." * any(s.at_edge for s in found)
    return f"{tabulate(rows, headers, disable_numparse=True, stralign='right')}\n{note}{edge}"
