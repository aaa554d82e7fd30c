"""`vae-fn bench [PRESET | MODULE:OBJECT]`: time a training step, compiled in several ways."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vae_fn.cli.output import write_figure, write_json
from vae_fn.cli.parse import UsageError, did_you_mean, in_own_options, parse, parse_preset
from vae_fn.cli.timing import INSTEAD, PROG, OwnOptions, PresetOptions, Timing
from vae_fn.errors import UserError
from vae_fn.run.config import PRESET_HELP, PRESETS

if TYPE_CHECKING:
    from vae_fn.bench import Source

SUMMARY = "Time training steps: compiling, steady state, share of the machine's limit, parity."

OWN = "my_file.py:step --args my_file.py:make_args"
"""How a step of one's own is given."""


def main(args: Sequence[str]) -> int:
    """Measure, print the tables, and write what is asked for; 1 if a row is slower than a baseline allows."""
    options = _parse(args)
    timing = options.timing
    for name in ("torch.utils.cpp_extension", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of each machine without a GPU, and of slow starts
    from vae_fn.cli import compared, timed

    if timing.list_rows:
        print(timed.rows_text())
        return 0
    if timing.compare is not None:
        print(compared.compared_text(*map(compared.read_table, timing.compare)))
        return 0
    names, sources, baseline = _named(options), options.sources(), None
    if timing.against is not None:
        baseline = compared.read_table(timing.against)
        if not timing.anyway:
            compared.check_alike(baseline["environment"], timed.machine(), timing.against)
        compared.check_plan(baseline, sources, names, timing.against)
    with in_own_options(INSTEAD if isinstance(options, PresetOptions) else {}):
        result = _kept(sources, names, timing)
    if not timing.quiet:
        _say_where(timing)
    return 0 if baseline is None else _held_against(timing, baseline, result)


def _kept(sources: "Sequence[Source]", names: Sequence[str], timing: Timing) -> dict[str, Any]:
    """Measure, and write and print what was measured, also if that ends early."""
    from vae_fn.cli import timed

    result, fault = _measured(sources, names, timing)
    _write(timing, result)
    if not timing.quiet:
        print(timed.report(result))
    if fault is not None:
        raise fault
    if timing.artifacts is not None:
        _keep_artifacts(sources, names, timing)
    return result


def _parse(args: Sequence[str]) -> PresetOptions | OwnOptions:
    if args and ":" in args[0] and not args[0].startswith("-"):
        return parse(OwnOptions, args, PROG)
    if args and args[0].endswith(".py"):
        raise UsageError(f"name the step in {args[0]}, and what makes its arguments, as in `{PROG} {OWN}`.")
    for given in args:
        option = given.partition("=")[0].replace("_", "-")
        if option in INSTEAD:
            raise UsageError(f"{option} is no option of a bench: use {INSTEAD[option]}")
        if option == "--args":
            raise UsageError(f"--args belongs to a step of your own, which comes first, as in `{PROG} {OWN}`.")
    presets = "\n".join(f"  {name}: {text}" for name, text in PRESET_HELP.items())
    about = f"Presets, of which the first is the default:\n{presets}\n\nOr a step of your own: {PROG} {OWN}"
    starts = {name: PresetOptions(preset) for name, preset in PRESETS.items()}
    return parse_preset(starts, args, PROG, f"{SUMMARY}\n\n{about}")


def _named(options: PresetOptions | OwnOptions) -> list[str]:
    """The rows that are asked for, each of which is there and goes with the step.

    Raises:
        UserError: one is not or does not, or it needs a compiler and there is none.
    """
    from vae_fn.bench import VARIANTS
    from vae_fn.run.machine import compiler

    refusals = {name: options.refusal(variant) or variant.lacking() for name, variant in VARIANTS.items()}
    rows = options.timing.rows
    fit = [name for name, refusal in refusals.items() if refusal is None]
    names = fit if rows == "all" else list(dict.fromkeys(filter(None, map(str.strip, rows.split(",")))))
    for name in names:
        if name not in VARIANTS:
            raise UsageError(f"there is no row {name!r}.{did_you_mean(name, VARIANTS)}")
        if refusals[name] is not None:
            raise UsageError(f"the row {name!r} {refusals[name]}: leave it out")
    if not names:
        raise UsageError("--rows takes names with commas between, or all: --list-rows tells them.")
    if compiler() is None and any(VARIANTS[name].compiled for name in names):
        raise UserError("nothing can be compiled here, as there is no C++ compiler: install g++, or use --rows eager")
    return names


def _measured(
    sources: "Sequence[Source]", names: Sequence[str], timing: Timing
) -> tuple[dict[str, Any], Exception | None]:
    """Rows and environment, and what ended it early, if the rows of some sizes were measured before."""
    from vae_fn.bench import Settings, measure
    from vae_fn.bench.measuring import units
    from vae_fn.cli.timed import surroundings

    settings, before = Settings(timing.windows, timing.steps, timing.instructions), os.getloadavg()
    with _bar(units(sources, names, settings), timing.quiet) as progress:
        rows, fault = [], None
        try:
            rows.extend(measure(sources, names, settings, progress=progress))
        except (UserError, RuntimeError) as raised:
            if not rows:
                raise
            fault = raised
    return {"rows": rows, "environment": surroundings(rows[0]["device"], before)}, fault


def _keep_artifacts(sources: "Sequence[Source]", names: Sequence[str], timing: Timing) -> None:
    from vae_fn.bench.artifacts import write_artifacts

    assert timing.artifacts is not None
    with _bar(len(sources) * len(names), timing.quiet) as progress:
        write_artifacts(sources, names, timing.artifacts, progress)


@contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr."""
    from tqdm import tqdm

    with tqdm(total=total, dynamic_ncols=True, disable=quiet, file=sys.stderr) as bar:

        def progress(what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update()

        yield progress


def _write(timing: Timing, result: Mapping[str, Any]) -> None:
    if timing.json is not None:
        write_json(timing.json, result)
    if timing.figure is not None:
        from vae_fn.viz.timing import timing_figure

        write_figure(timing.figure, timing_figure(result["rows"]))


def _say_where(timing: Timing) -> None:
    places = [str(place) for place in (timing.json, timing.figure, timing.artifacts) if place is not None]
    if places:
        print(f"results in {', '.join(places)}")


def _held_against(timing: Timing, baseline: Mapping[str, Any], result: Mapping[str, Any]) -> int:
    """The exit status: 1 if a row is slower than the baseline allows, each of which is told on stderr."""
    from vae_fn.cli import compared

    if not timing.anyway:
        compared.check_alike(baseline["environment"], result["environment"], timing.against)
    if not timing.quiet:
        print(f"\nagainst {timing.against}:\n{compared.compared_text(baseline, result)}")
    lines = compared.slower_lines(baseline, result, timing.at_most)
    for line in lines:
        print(f"{PROG}: {line}", file=sys.stderr)
    return 1 if lines else 0
