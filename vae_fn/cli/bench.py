"""`vae-fn bench [PRESET | MODULE:OBJECT]`: time a training step, compiled in several ways."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import UsageError, did_you_mean, parse, parse_preset
from vae_fn.errors import UserError
from vae_fn.run.checks import LARGEST_NUMBER, ConfigError
from vae_fn.run.config import PRESET_HELP, PRESETS, TrainConfig

if TYPE_CHECKING:
    from vae_fn.bench import Source

SUMMARY = "Time training steps: compiling, steady state, share of the machine's limit, parity."

PROG = "vae-fn bench"

FEWEST = 5
"""Windows: of fewer, quartiles say nothing."""

INSTEAD = {
    **dict.fromkeys(("--compile", "--no-compile"), "--rows, which names the ways to run the step"),
    "--batch-size": "--batch-sizes",
    **dict.fromkeys(
        ("--runs-dir", "--name", "--tensorboard", "--no-tensorboard", "--log-every", "--evaluation-draws"),
        "nothing: there is no run",
    ),
    **dict.fromkeys(("--checkpoint-every", "--keep-last", "--keep-best", "--no-keep-best"), "nothing: there is no run"),
}
"""Options of `vae-fn train` that mean nothing here, and what to use."""


@dataclass(frozen=True)
class Timing:
    """What is measured, for how long, and where it goes."""

    rows: str = "all"
    """Ways to run the step, with commas between, or all; --list-rows tells them."""
    batch_sizes: str | None = None
    """Batch sizes, with commas between. By default the preset's; for a step of your own they are handed to --args."""
    windows: int = 9
    """Windows of each row, 5 or more, in turn with those of the others."""
    steps: int | None = None
    """Steps of a window; by default as many as take the fastest row a quarter of a second."""
    json: Path | None = None
    """File to write everything to, as JSON, each window's time too."""
    list_rows: bool = False
    """Tell every row. Nothing is measured."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if not FEWEST <= self.windows <= 10_000:
            raise ConfigError(f"windows must be {FEWEST} or more, and at most 10,000, not {self.windows}")
        if self.steps is not None and not 1 <= self.steps <= 1_000_000:
            raise ConfigError(f"steps must be positive and at most 1,000,000, not {self.steps}")
        self.sizes()
        check_json(self.json, None)

    def sizes(self) -> list[int]:
        """The batch sizes, each once, sorted; none if none are named.

        Raises:
            ConfigError: a part is no positive number.
        """
        parts = [part.strip() for part in (self.batch_sizes or "").split(",") if part.strip()]
        if not all(part.isdecimal() and 1 <= int(part) <= LARGEST_NUMBER for part in parts):
            raise ConfigError(f"batch_sizes are positive numbers with commas between, not {self.batch_sizes!r}")
        return sorted({int(part) for part in parts})


@dataclass(frozen=True)
class PresetOptions:
    """Time the training step of a preset; its settings are those of `vae-fn train`."""

    settings: OmitArgPrefixes[TrainConfig]
    timing: OmitArgPrefixes[Timing] = field(default_factory=Timing)

    def sources(self) -> "list[Source]":
        """The step at each size."""
        from vae_fn.cli.benched import settings_source

        sizes = self.timing.sizes() or [self.settings.batch_size]
        return [settings_source(replace(self.settings, batch_size=size, compile=False)) for size in sizes]


@dataclass(frozen=True)
class OwnOptions:
    """Time a step of your own: a pure function (state, *inputs) -> (state, info).

    MODULE is a dotted module or the path of a .py file; it is imported, so it runs.
    """

    step: Annotated[str, Positional, arg(metavar="MODULE:OBJECT")]
    """The step, such as my_file.py:step."""
    args: Annotated[str, arg(metavar="MODULE:FUNCTION")]
    """A function that returns (state, *inputs); with --batch-sizes it is called with each of them."""
    timing: OmitArgPrefixes[Timing] = field(default_factory=Timing)

    def sources(self) -> "list[Source]":
        """The step at each size."""
        from vae_fn.cli.benched import own_source

        return [own_source(self.step, self.args, size) for size in self.timing.sizes() or [None]]


def main(args: Sequence[str]) -> None:
    """Measure, print the table, and write what is asked for."""
    options = _parse(args)
    timing: Timing = options.timing
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of each machine without a GPU
    from vae_fn.cli import timed

    if timing.list_rows:
        print(timed.rows_text())
        return
    names = _named(timing.rows)
    result = _measured(options.sources(), names, timing)
    if timing.json is not None:
        write_json(timing.json, result)
    if not timing.quiet:
        print(timed.report(result))
        if timing.json is not None:
            print(f"results in {timing.json}")


def _parse(args: Sequence[str]) -> Any:
    if args and ":" in args[0] and not args[0].startswith("-"):
        return parse(OwnOptions, args, PROG)
    for given in args:
        option = given.partition("=")[0].replace("_", "-")
        if option in INSTEAD:
            raise UsageError(f"{option} is no option of a bench: use {INSTEAD[option]}")
    presets = "\n".join(f"  {name}: {text}" for name, text in PRESET_HELP.items())
    about = f"Presets, of which the first is the default:\n{presets}\n\nOr a step of your own: {PROG} my_file.py:step"
    starts = {name: PresetOptions(preset) for name, preset in PRESETS.items()}
    return parse_preset(starts, args, PROG, f"{SUMMARY}\n\n{about} --args my_file.py:make_args")


def _named(rows: str) -> list[str]:
    """The rows that are asked for, each of which is there.

    Raises:
        UserError: one is not, or it needs a compiler and there is none.
    """
    from vae_fn.bench import VARIANTS
    from vae_fn.run.assemble import compiler

    names = [*VARIANTS] if rows == "all" else list(dict.fromkeys(filter(None, map(str.strip, rows.split(",")))))
    for name in names:
        if name not in VARIANTS:
            raise UsageError(f"there is no row {name!r}.{did_you_mean(name, VARIANTS)}")
    if not names:
        raise UsageError("--rows takes names with commas between, or all: --list-rows tells them.")
    if compiler() is None and any(VARIANTS[name].compiled for name in names):
        raise UserError("nothing can be compiled here, as there is no C++ compiler: install g++, or use --rows eager")
    return names


def _measured(sources: "Sequence[Source]", names: Sequence[str], timing: Timing) -> dict[str, Any]:
    from vae_fn.bench import Windows, measure
    from vae_fn.bench.measuring import units
    from vae_fn.cli.timed import surroundings

    windows, before = Windows(timing.windows, timing.steps), os.getloadavg()
    with _bar(units(sources, names, windows), timing.quiet) as progress:
        rows = list(measure(sources, names, windows, progress=progress))
    return {"rows": rows, "environment": surroundings(rows[0]["device"], before)}


@contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr."""
    from tqdm import tqdm

    with tqdm(total=total, dynamic_ncols=True, disable=quiet, file=sys.stderr) as bar:

        def progress(what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update()

        yield progress
