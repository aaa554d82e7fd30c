"""`vae-fn replay RUN`: a step that was not finite, taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import parse
from vae_fn.run.checks import ConfigError
from vae_fn.run.folder import open_run

SUMMARY = "Run a training step that was not finite again, to see which quantity was lost first."


@dataclass(frozen=True)
class ReplayConfig:
    """Run a training step that was not finite again, uncompiled and term by term, in float32 and in float64."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Folder of the run, such as runs/tutorial-0."""
    step: Annotated[int | None, arg(metavar="NUMBER")] = None
    """Number of the step; by default the latest that was saved."""
    device: Annotated[str | None, arg(metavar="{cpu,cuda,...}")] = None
    """Where to compute: cpu, cuda, ...; by default where the run was trained."""
    json: Path | None = None
    """File to write every quantity to, as JSON."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if self.step is not None and self.step < 1:
            raise ConfigError(f"step must be positive, not {self.step}")
        check_json(self.json, self.run)


def main(args: Sequence[str]) -> None:
    """Run the step again, print its quantities in the order of the computation, and write them if asked."""
    config = parse(ReplayConfig, args, prog="vae-fn replay")
    run = open_run(config.run)
    import torch

    from vae_fn.run.cases import find_case, read_case
    from vae_fn.run.findings import examine, report, table, verdict

    case = read_case(find_case(run, config.step), config.device)
    findings, wide = examine(case), examine(case, torch.float64)
    if config.json is not None:
        write_json(config.json, report(case, findings) | {"float64": report(case, wide)["findings"]})
    if not config.quiet:
        print(table(findings, wide))
        print(f"step {case.step} of {run}: {verdict(findings, wide)}")
