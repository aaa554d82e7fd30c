"""`vae-fn train [PRESET]`: train a VAE, or go on with a run."""

import json as json_format
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from vae_fn.cli.evaluate import bound_line
from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import UsageError, parse, parse_preset, value_of
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import PRESET_HELP, PRESETS, TrainConfig, read_toml, to_toml
from vae_fn.run.folder import ENSEMBLE, members_of, read_config, run_of
from vae_fn.run.members import Varied, member_settings, numbers

SUMMARY = "Train a VAE and leave the results in a run folder."

PROG = "vae-fn train"

SEVERAL = {"--beta": "--betas", "--learning-rate": "--learning-rates"}
"""Options of one value, and those of several in their place."""


@dataclass(frozen=True)
class TrainOptions:
    """What to do, and with which settings."""

    settings: OmitArgPrefixes[TrainConfig]
    keys: int | None = None
    """Train an ensemble of so many members, of this key and those after it, together."""
    betas: str | None = None
    """Train members of these weights of the KL term, as in 0.5,1,2; with --keys or --learning-rates of every pair."""
    learning_rates: str | None = None
    """Train members of these learning rates, likewise."""
    config: Path | None = None
    """Start from the settings in this TOML file instead of a preset, such as the config.toml of a run."""
    print_config: bool = False
    """Print the settings as TOML, and do nothing else."""
    resume: Path | None = None
    """Go on with a run that was stopped: its folder, or one of its checkpoints; or the folder of an ensemble.
    It keeps its settings."""
    exact: bool = False
    """With --resume: refuse to go on where versions, machine or threads are others, instead of warning."""
    overwrite: bool = False
    """Delete an earlier run of the same name first."""
    json: Path | None = None
    """File to write the summary of the run to, as JSON."""
    quiet: bool = False
    """Show no progress and no results; mistakes are still reported."""

    def __post_init__(self) -> None:
        if self.resume is None and self.exact:
            raise ConfigError("--exact says how to resume: give the run by --resume RUN")
        if self.resume is not None and self.overwrite:
            raise ConfigError("--resume goes on with a run and --overwrite deletes it: use one of them")
        if self.resume is not None and self.config is not None:
            raise ConfigError("a resumed run has its own settings: use --resume without --config")
        several = {"--keys": self.keys, "--betas": self.betas, "--learning-rates": self.learning_rates}
        for option in (option for option, given in several.items() if given is not None):
            if self.resume is not None:
                raise ConfigError(f"--resume goes on with the members that there are: leave {option} out")
            if self.print_config:
                raise ConfigError(f"--print-config shows the settings of one run: leave {option} out")
        check_json(self.json, self._folder())

    @property
    def varied(self) -> Varied:
        """What differs between the members of an ensemble."""
        given = {name: getattr(self, name) for name in ("betas", "learning_rates")}
        return Varied(self.keys, *(numbers(name, text) if text is not None else () for name, text in given.items()))

    @property
    def several(self) -> bool:
        """Whether an ensemble is trained, and not one run."""
        return self.varied != Varied() if self.resume is None else (self.resume / ENSEMBLE).is_file()

    def _folder(self) -> Path:
        """Where the results go."""
        if self.resume is not None:
            return self.resume if self.several else run_of(self.resume)
        if self.several:
            return member_settings(self.settings, self.varied)[0].runs_dir
        return self.settings.runs_dir / self.settings.run_name


def main(args: Sequence[str]) -> None:
    """Train, then print where the results are and what they are."""
    options = _parse(args)
    if options.print_config:
        print(to_toml(options.settings), end="")
        return
    for name in ("torch.utils.cpp_extension", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of each machine without a GPU, and of slow starts
    if options.several:
        from vae_fn.cli.ensembles import train_members

        train_members(options)
        return
    if options.resume is None:
        from vae_fn.run.train import train

        run = train(options.settings, overwrite=options.overwrite, quiet=options.quiet)
    else:
        from vae_fn.run.resume import resume

        run = resume(options.resume, options.settings, exact=options.exact, quiet=options.quiet)
    summary = json_format.loads((run / "summary.json").read_text(encoding="utf-8"))
    if options.json is not None:
        write_json(options.json, summary | {"run": str(run)})
    if not options.quiet:
        print(f"results in {run}")
        print(bound_line(summary["test"]))


def _parse(args: Sequence[str]) -> TrainOptions:
    presets = "\n".join(f"  {name}: {text}" for name, text in PRESET_HELP.items())
    description = f"{SUMMARY}\n\nPresets, of which the first is the default:\n{presets}"
    args = _joined(args)
    for one, several in SEVERAL.items():
        if value_of(one, args) is not None and value_of(several, args) is not None:
            raise UsageError(f"{one} and {several} exclude each other: leave out one of them.")
    if place := value_of("--resume", args):
        start = _resumed(Path(place))
    elif file := value_of("--config", args):
        start = _read(Path(file))
    else:
        starts = {name: TrainOptions(preset) for name, preset in PRESETS.items()}
        return parse_preset(starts, args, prog=PROG, description=description)
    if args[0] in PRESETS:
        raise UsageError(f"the preset {args[0]} and the settings of a run or a file exclude each other: leave out one.")
    return parse(TrainOptions, args, PROG, TrainOptions(start), description)


def _joined(args: Sequence[str]) -> list[str]:
    """The arguments, with commas between the numbers of an option that takes several: spaces will do as well."""
    joined: list[str] = []
    for arg in args:
        several = len(joined) > 1 and joined[-2] in SEVERAL.values()
        if several and re.match(r"-?[.\d]", arg):
            joined[-1] += f",{arg}"
        else:
            joined.append(arg)
    return joined


def _resumed(place: Path) -> TrainConfig:
    """The settings that a resumed run or ensemble has.

    Those of an ensemble are its first member's, with the fewest epochs of any: where some were trained on alone,
    `resume_ensemble` refuses that number, so that another has to be given.
    """
    if not (place / ENSEMBLE).is_file():
        return read_config(run_of(place))
    settings = [read_config(run) for run in members_of(place)]
    return replace(settings[0], epochs=min(each.epochs for each in settings))


def _read(file: Path) -> TrainConfig:
    try:
        return read_toml(file)
    except OSError as fault:
        raise UsageError(f"{file}: {fault.strerror}: --config takes a TOML file, as --print-config writes") from fault
