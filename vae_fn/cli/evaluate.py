"""`vae-fn evaluate RUN`: the test ELBO of a run, with its terms."""

import json as json_format
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from vae_fn.cli.parse import parse
from vae_fn.run.config import LARGEST, ConfigError
from vae_fn.run.folder import open_run, read_config, with_nonfinite, write_atomic

SUMMARY = "Evaluate a run on MNIST's test images: the ELBO with its terms."


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate a run on MNIST's test images: the ELBO with its terms, every image weighted equally."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Folder of the run, such as runs/tutorial-0."""
    draws: int | None = None
    """Noise draws per image; by default the run's evaluation_draws."""
    key: int | None = None
    """Seed of the noise; by default the run's own evaluation noise, which repeats the result of its training."""
    device: str | None = None
    """Where to compute: cpu, cuda, ...; by default where the run was trained."""
    json: Path | None = None
    """File to write the result to, as JSON."""

    def __post_init__(self) -> None:
        most = LARGEST["evaluation_draws"]
        if self.draws is not None and not 1 <= self.draws <= most:
            raise ConfigError(f"draws must be positive and at most {most}, not {self.draws}")
        if self.key is not None and not 0 <= self.key < 2**63:
            raise ConfigError(f"key must lie between 0 and 2^63 - 1, not {self.key}")
        if self.json is not None and not (self.json.is_file() or _can_be_made(self.json)):
            raise ConfigError(f"json must be a file in an existing folder that you may write to, not {self.json}")
        if self.json is not None and self.json.exists() and self.json.resolve().is_relative_to(self.run.resolve()):
            raise ConfigError(f"json must not be a file of the run itself, as {self.json} is: give another path")


def main(args: Sequence[str]) -> None:
    """Evaluate, print the result, and write it if asked."""
    config = parse(EvaluateConfig, args, prog="vae-fn evaluate")
    settings = read_config(open_run(config.run))
    from vae_fn.run.evaluate import evaluate_run

    draws = config.draws or settings.evaluation_draws
    result = with_nonfinite(evaluate_run(config.run, draws, config.key, config.device))
    print(f"{config.run}: {bound_line(result)}")
    noise = "the run's own noise" if result["key"] is None else f"noise of key {result['key']}"
    print(
        f"{result['examples']} test images weighted equally, {result['draws']} draws each of {noise}; "
        f"standard error from the noise {nats(result['se_noise'], 3)}"
    )
    if config.json is not None:
        write_atomic(config.json, json_format.dumps(result, indent=2, allow_nan=False) + "\n")


def bound_line(result: Mapping[str, Any]) -> str:
    """Say an ELBO and its terms in one line, with unit and protocol."""
    return (
        f"test ELBO {nats(result['elbo'])} per image "
        f"(reconstruction {nats(result['reconstruction'])}, KL {nats(result['kl'])}; protocol {result['protocol']})"
    )


def nats(value: float | None, digits: int = 2) -> str:
    """Write a value in nats; None, which stands for a value that is not finite, is named as such."""
    return "not finite" if value is None else f"{value:.{digits}f} nats"


def _can_be_made(file: Path) -> bool:
    return not file.exists() and file.parent.is_dir() and os.access(file.parent, os.W_OK)
