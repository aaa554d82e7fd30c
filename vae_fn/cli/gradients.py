"""`vae-fn gradients`: estimators measured against the exact gradient, on a published problem or a trained model."""

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from vae_fn.cli.output import check_file, check_json
from vae_fn.cli.parse import UsageError, did_you_mean, parse, value_of
from vae_fn.errors import UserError
from vae_fn.run.checks import LARGEST, ConfigError, check_seed
from vae_fn.run.folder import open_run, read_config

if TYPE_CHECKING:
    from vae_fn.lab import Measurement
    from vae_fn.run.places import Place

SUMMARY = "Measure gradient estimators against the exact gradient: bias, variance, cost."

PROG = "vae-fn gradients"


@dataclass(frozen=True)
class GradientsOptions:
    """Measure gradient estimators against the exact gradient: bias, variance and cost, beside each other.

    On a published problem, whose own options follow its name, or on the ELBO of a trained model. `--problem NAME
    --help` explains the options of a problem.
    """

    problem: str | None = None
    """Published problem to measure on, such as rainforth; --list-problems tells all."""
    run: Path | None = None
    """Folder of a run, to measure on the ELBO of its model and its test images, as its protocol shows them."""
    estimators: str = "all"
    """Names with commas between, or all, of which those that do not take the problem are left out."""
    estimator: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="MODULE:OBJECT")] = ()
    """Your own estimator, beside them, such as my_file.py:my_estimator; it is imported, so it runs."""
    samples: str = "4"
    """Samples K of the latents, or several numbers with commas between."""
    draws: int = 10_000
    """Gradients of one datum to draw with each estimator, at least."""
    data: int = 32
    """Data to measure on, the first ones."""
    batch_size: int = 1
    """Data of the mini-batch that variances are stated for."""
    by: Literal["network", "leaf"] = "network"
    """Whether a row is for a group of parameters, such as encoder and decoder, or for each array of them."""
    checkpoint: str = "newest"
    """With --run: newest, best, or files in RUN/checkpoints with commas between."""
    along: bool = False
    """With --run: measure at every checkpoint that there is, in order."""
    key: int = 0
    """Seed of the noise."""
    json: Path | None = None
    """File to write everything to, as JSON."""
    csv: Path | None = None
    """File to write the rows to, as CSV."""
    latex: Path | None = None
    """File to write the table to, as LaTeX with the rules of booktabs."""
    figures: Path | None = None
    """Folder to draw figures into, made if need be."""
    listing: Annotated[bool, arg(name="list")] = False
    """Tell every estimator: its latents, evaluations, what it is unbiased for, its papers. Nothing is measured."""
    list_problems: bool = False
    """Tell every problem, with its options and papers. Nothing is measured."""
    bibtex: bool = False
    """Print the papers of the estimators, and of the problem if one is named, as BibTeX. Nothing is measured."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        for name in ("draws", "data", "batch_size"):
            if not 1 <= getattr(self, name) <= 2**40:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        check_seed(self.key)
        if self.along and self.checkpoint != "newest":
            raise ConfigError("along takes all checkpoints: leave out --checkpoint")
        if self.run is None and (self.along or self.checkpoint != "newest"):
            raise ConfigError("checkpoint and along are of a run: give it by --run RUN")
        self.ks()
        check_json(self.json, self.run)
        check_file("csv", self.csv, self.run)
        check_file("latex", self.latex, self.run)

    def ks(self) -> list[int]:
        """The numbers of samples, each once.

        Raises:
            ConfigError: they are no numbers, or out of range.
        """
        parts = [part.strip() for part in self.samples.split(",") if part.strip()]
        if not parts or not all(part.isdecimal() and 1 <= int(part) <= LARGEST["samples"] for part in parts):
            most = LARGEST["samples"]
            raise ConfigError(f"samples are numbers from 1 to {most} with commas between, not {self.samples!r}")
        return sorted({int(part) for part in parts})


def main(args: Sequence[str]) -> None:
    """Measure, print the tables, and write what is asked for."""
    options = _parse(args)
    if options.listing or options.list_problems or options.bibtex:
        _tell(options)
        return
    for name in ("torch.utils.cpp_extension", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of each machine without a GPU, and of slow starts
    from vae_fn.cli import report_of_gradients as report

    report.make_folder(options.figures)
    results = [_measured(options, place) for place in _places(options)]
    report.write(options, results)


def _parse(args: Sequence[str]) -> Any:
    """The options, with those of the problem that is named under `of_problem`."""
    name = value_of("--problem", args)
    if name is None:
        options = parse(GradientsOptions, args, PROG)
        told = options.listing or options.list_problems or options.bibtex
        if not told and options.run is None:
            raise UsageError("give --problem NAME or --run RUN; --list-problems tells the problems.")
        return options
    from vae_fn.gradients.published import PROBLEMS

    if name not in PROBLEMS:
        raise UsageError(f"there is no problem {name!r}.{did_you_mean(name, PROBLEMS)}")
    problem = PROBLEMS[name].options
    if problem is None:
        raise UsageError(f"{name} is the model of a run: give it by --run RUN instead of --problem.")
    if value_of("--run", args) is not None:
        raise UsageError("a run and a published problem exclude each other: leave out --problem or --run.")
    options = parse(_with_problem(problem), args, PROG, description=f"{SUMMARY}\n\n{name}: {inspect.getdoc(problem)}")
    check_seed(getattr(options.of_problem, "key", 0), "--problem-key")
    return options


def _with_problem(problem: Any) -> Any:
    """The options together with those of a problem; what both have is called --problem-NAME of the problem."""
    taken, hints = {own.name for own in fields(GradientsOptions)}, get_type_hints(problem)
    renamed = [
        (own.name, Annotated[hints[own.name], arg(name=f"problem-{own.name}")], field(default=own.default))
        for own in fields(problem)
        if own.name in taken
    ]
    apart: Any = make_dataclass(problem.__name__, renamed, bases=(problem,), frozen=True)
    whole = ("of_problem", OmitArgPrefixes[apart], field(default=apart()))
    return make_dataclass("Options", [whole], bases=(GradientsOptions,), frozen=True)


def _tell(options: Any) -> None:
    from vae_fn.cli import references
    from vae_fn.cli.contending import named
    from vae_fn.gradients.estimators import CATALOGUE
    from vae_fn.gradients.published import PROBLEMS

    if options.listing:
        print(references.estimators_text())
    if options.list_problems:
        print(references.problems_text())
    if options.bibtex:
        names = [*CATALOGUE] if options.estimators == "all" else named(options.estimators)
        papers = [key for name in names for key in CATALOGUE[name].papers]
        print(references.bibtex([*papers, *(PROBLEMS[options.problem].papers if options.problem else ())]))


def _places(options: Any) -> "Iterator[Place]":
    """Where to measure: the problem, or the run at its checkpoints."""
    from vae_fn.run.places import Place, place_of, saved

    if options.run is None:
        yield Place(options.of_problem.make())
        return
    run = open_run(options.run)
    config = replace(read_config(run), device="cpu")
    for checkpoint in saved(run) if options.along else options.checkpoint.split(","):
        yield place_of(run, config, checkpoint.strip(), options.data, options.key)


def _measured(options: Any, place: "Place") -> "tuple[Place, Measurement, list[str]]":
    """What was measured at a place, and the names of those whose q follows something else."""
    from vae_fn import random
    from vae_fn.cli.contending import enter
    from vae_fn.cli.locate import reported
    from vae_fn.compiling import compile_pure
    from vae_fn.lab import Settings, by_leaf, by_network, measure
    from vae_fn.run.machine import compiler

    data = None if place.posed.data is None else place.posed.data[: options.data]
    count = 1 if data is None else len(data)
    if options.draws < 2 * count:
        raise UserError(f"--draws must be two or more of each datum: use --draws {2 * count} or more")
    entered = enter(place, options.estimators, options.estimator, options.ks())
    for line in entered.left_out if not options.quiet else ():
        print(f"left out: {line}", file=sys.stderr)
    settings = Settings(options.draws, count, options.batch_size)
    rows_of = by_leaf if options.by == "leaf" else by_network
    edge = compile_pure if compiler() else lambda fn: fn
    user_code = reported(", ".join(options.estimator), *entered.files) if options.estimator else nullcontext()
    with _bar(len(entered.contenders) * options.draws, options.quiet) as progress, user_code:
        found = measure(
            entered.contenders,
            place.posed,
            place.posed.params,
            random.key(options.key),
            settings,
            rows_of=rows_of,
            edge=edge,
            progress=progress,
        )
    follows = dict.fromkeys(each.name for each in entered.contenders if each.estimator.q_follows)
    return place, found, [*follows]


@contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """A progress bar over draws, on stderr."""
    from tqdm import tqdm

    with tqdm(total=total, unit="draw", unit_scale=True, dynamic_ncols=True, disable=quiet, file=sys.stderr) as bar:

        def progress(name: str, draws: int) -> None:
            bar.set_postfix_str(name, refresh=False)
            bar.update(min(draws, total - bar.n))

        yield progress
