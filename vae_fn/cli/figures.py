"""`vae-fn figures RUN`: all figures of a run, and a page that shows them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_fn.cli.options import ModelOptions
from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import parse

SUMMARY = "Draw all figures of a run, and a page that explains them."


@dataclass(frozen=True)
class FiguresOptions(ModelOptions):
    """Draw all figures of a run, and a page that explains them, from its folder alone; nothing is trained.

    Each is RUN/figures/NAME.png and NAME.svg; RUN/report.html shows all, and RUN/figures/deviations.json says how far
    the latents of the test images are from the prior. A run need not be finished.
    """

    json: Path | None = None
    """File to write to, as JSON, what was drawn and how far the latents are from the prior."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_json(self.json, self.run)


def main(args: Sequence[str]) -> None:
    """Draw, and say where the page is."""
    options = parse(FiguresOptions, args, prog="vae-fn figures")
    config = options.settings()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of slow starts and of caches it cannot write
    from vae_fn.run.report import draw_run

    result = draw_run(options.run, config, options.checkpoint, options.key, quiet=options.quiet)
    if options.json is not None:
        write_json(options.json, result)
    if not options.quiet:
        print(f"{len(result['figures'])} figures in {options.run / 'figures'}, all shown in {result['report']}")
