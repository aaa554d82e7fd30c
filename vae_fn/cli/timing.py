"""What `vae-fn bench` can be asked for."""

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from vae_fn.cli.output import PICTURES, check_file, check_json
from vae_fn.run.checks import LARGEST_NUMBER, ConfigError
from vae_fn.run.config import TrainConfig

if TYPE_CHECKING:
    from vae_fn.bench import Source, Variant

PROG = "vae-fn bench"

FEWEST = 5
"""Windows: of fewer, quartiles say nothing."""

INSTEAD = {
    **dict.fromkeys(
        ("--compile", "--no-compile", "--cuda-graph", "--no-cuda-graph"), "--rows, which names the ways to run the step"
    ),
    "--batch-size": "--batch-sizes",
    "--samples": "--sample-counts",
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
    sample_counts: str | None = None
    """Posterior samples K of an image, several with commas between. By default the preset's."""
    members: str | None = None
    """Trainings that a step advances side by side, by torch.vmap, several with commas between. By default one."""
    windows: int = 9
    """Windows of each row, 5 or more, in turn with those of the others."""
    steps: int | None = None
    """Steps of a window; by default as many as take the row a quarter of a second."""
    instructions: bool = False
    """Count the instructions of a step with valgrind too; this takes minutes for each row.
    It knows no AVX-512: where the processor has it, they are those of a step compiled for AVX2.
    That has torch's own products where the row has this package's."""
    json: Path | None = None
    """File to write everything to, as JSON, each window's time too."""
    figure: Path | None = None
    """File to draw into, .png or .svg: ratio to the limit against batch size, and time of each row."""
    artifacts: Path | None = None
    """New folder for what one attaches to a report of a fault: graphs, generated code, the log of compiling, a trace.
    Every row is compiled once more for it."""
    against: Path | None = None
    """A file of --json to hold the times against; the exit status is 1 if a row is slower than --at-most says."""
    at_most: float = 1.1
    """With --against: the largest ratio of a row's median to the baseline's that passes."""
    anyway: bool = False
    """With --against: also where processor, torch or threads are others."""
    compare: Annotated[tuple[Path, Path] | None, arg(metavar="BEFORE AFTER")] = None
    """Two files of --json: tell the ratios of their rows, after / before, with intervals. Nothing is measured."""
    list_rows: bool = False
    """Tell every row. Nothing is measured."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if not FEWEST <= self.windows <= 10_000:
            raise ConfigError(f"windows must be {FEWEST} or more, and at most 10,000, not {self.windows}")
        if self.steps is not None and not 1 <= self.steps <= 1_000_000:
            raise ConfigError(f"steps must be positive and at most 1,000,000, not {self.steps}")
        if not 0 < self.at_most < LARGEST_NUMBER:
            raise ConfigError(f"at_most must be positive and finite, not {self.at_most}")
        if self.against is None and (self.anyway or self.at_most != Timing.at_most):
            raise ConfigError("at_most and anyway say how to hold times against a baseline: give it by --against FILE")
        if self.artifacts is not None and (self.artifacts.exists() or not self.artifacts.absolute().parent.is_dir()):
            raise ConfigError(f"artifacts must be a new folder in one that exists, not {self.artifacts}")
        self.sizes("batch_sizes")
        self.sizes("sample_counts")
        self.sizes("members")
        check_json(self.json, None)
        check_file("figure", self.figure, None)
        if self.figure is not None and self.figure.suffix.lower() not in PICTURES:
            raise ConfigError(f"figure must end in {' or '.join(PICTURES)}, not {self.figure}")

    def sizes(self, name: Literal["batch_sizes", "sample_counts", "members"]) -> list[int]:
        """The sizes of a name, each once, sorted; none if none are given.

        Raises:
            ConfigError: a part is no positive number.
        """
        given = getattr(self, name) or ""
        parts = [part.strip() for part in given.split(",") if part.strip()]
        if not all(part.isdecimal() and 1 <= int(part) <= LARGEST_NUMBER for part in parts):
            raise ConfigError(f"{name} are positive numbers with commas between, not {given!r}")
        return sorted({int(part) for part in parts})


@dataclass(frozen=True)
class PresetOptions:
    """Time the training step of a preset; its settings are those of `vae-fn train`."""

    settings: OmitArgPrefixes[TrainConfig]
    timing: OmitArgPrefixes[Timing] = field(default_factory=Timing)

    def refusal(self, variant: "Variant") -> str | None:
        """Why a row does not go with the step; None if it does."""
        kind = self.settings.device.partition(":")[0]
        if variant.only not in (None, kind):
            return f"is for {variant.only}, not for {kind}"
        return "takes no micro-batches" if variant.whole_batches and self.settings.microbatch else None

    def sources(self) -> "list[Source]":
        """The step at each size."""
        from vae_fn.cli.benched import settings_source

        if max(self.timing.sizes("members"), default=1) > 1 and self.settings.microbatch:
            raise ConfigError("members side by side take no micro-batches: leave --members or --microbatch out")
        sizes = self.timing.sizes("batch_sizes") or [self.settings.batch_size]
        counts = self.timing.sizes("sample_counts") or [self.settings.samples]
        return [
            settings_source(replace(self.settings, batch_size=size, samples=samples, compile=False), members)
            for size, samples, members in itertools.product(sizes, counts, self.timing.sizes("members") or [1])
        ]


@dataclass(frozen=True)
class OwnOptions:
    """Time a step of your own: a pure function (state, *inputs) -> (state, info).

    MODULE is a dotted module or the path of a .py file; it is imported, so it runs.
    """

    step: Annotated[str, Positional, arg(metavar="MODULE:OBJECT")]
    """The step, such as my_file.py:step."""
    args: Annotated[str | None, arg(metavar="MODULE:FUNCTION")] = None
    """A function that returns (state, *inputs), called with each of --batch-sizes, or with nothing without them."""
    timing: OmitArgPrefixes[Timing] = field(default_factory=Timing)

    def __post_init__(self) -> None:
        if self.args is None:
            raise ConfigError(f"{self.step} needs a state and inputs: name a function that returns them by --args")
        if self.timing.sample_counts is not None or self.timing.members is not None:
            raise ConfigError("sample_counts and members are sizes of a preset's step: use --batch-sizes with your own")

    def refusal(self, variant: "Variant") -> str | None:
        """Why a row does not go with the step; None if it does."""
        import torch

        if variant.only not in (None, "cpu") and not torch.cuda.is_available():
            return f"is for {variant.only}, which is not here"
        names = ", ".join(variant.settings)
        return f"changes {names} of a preset, which a step of your own has not" if names else None

    def sources(self) -> "list[Source]":
        """The step at each size."""
        from vae_fn.cli.benched import own_source

        assert self.args is not None
        return [own_source(self.step, self.args, size) for size in self.timing.sizes("batch_sizes") or [None]]
