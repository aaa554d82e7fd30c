"""`vae-fn train [PRESET]`: train a VAE on MNIST."""

import json
import logging
from collections.abc import Sequence

from vae_fn.cli.evaluate import bound_line
from vae_fn.cli.parse import parse_preset
from vae_fn.run.config import PRESET_HELP, PRESETS

SUMMARY = "Train a VAE on MNIST and leave the results in a run folder."


def main(args: Sequence[str]) -> None:
    """Train, then print where the results are and what they are."""
    presets = "\n".join(f"  {name}: {text}" for name, text in PRESET_HELP.items())
    description = f"{SUMMARY}\n\nPresets, of which the first is the default:\n{presets}"
    config = parse_preset(PRESETS, args, prog="vae-fn train", description=description)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of each machine without a GPU
    from vae_fn.run.train import train

    run = train(config)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    print(f"results in {run}")
    print(bound_line(summary["test"]))
