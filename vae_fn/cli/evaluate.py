"""`vae-fn evaluate RUN`: the test ELBO of a run, with its terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import parse
from vae_fn.run.checks import LARGEST, ConfigError, check_seed
from vae_fn.run.folder import open_run, read_config
from vae_fn.run.listing import list_run
from vae_fn.run.metrics import with_nonfinite
from vae_fn.words import counted

SUMMARY = "Evaluate a run on its test images: the ELBO with its terms."


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate a run on its test images: the ELBO with its terms, every image weighted equally."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Folder of the run, such as runs/tutorial-0."""
    checkpoint: str = "newest"
    """Which saved parameters to use: newest, best (by the ELBO of held-out images), or a file in RUN/checkpoints."""
    draws: int | None = None
    """Noise draws per image; by default the run's evaluation_draws."""
    key: int | None = None
    """Seed of the noise; by default the run's own evaluation noise, which repeats the result of its training."""
    device: str | None = None
    """Where to compute: cpu, cuda, ...; by default where the run was trained."""
    json: Path | None = None
    """File to write the result to, as JSON."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        most = LARGEST["evaluation_draws"]
        if self.draws is not None and not 1 <= self.draws <= most:
            raise ConfigError(f"draws must be positive and at most {most}, not {self.draws}")
        if self.key is not None:
            check_seed(self.key)
        check_json(self.json, self.run)


def main(args: Sequence[str]) -> None:
    """Evaluate, print the result, and write it if asked."""
    config = parse(EvaluateConfig, args, prog="vae-fn evaluate")
    settings = read_config(open_run(config.run))
    from vae_fn.run.evaluate import evaluate_run

    draws = config.draws or settings.evaluation_draws
    result = with_nonfinite(evaluate_run(config.run, draws, config.key, config.device, config.checkpoint))
    if not config.quiet:
        print(f"{config.run}: {bound_line(result)}")
        print(_noise_line(result))
        print(_parameters_line(result, settings.epochs, list_run(config.run.resolve()).state))
    if config.json is not None:
        write_json(config.json, result)


def bound_line(result: Mapping[str, Any]) -> str:
    """Say an ELBO and its terms in one line, with unit and protocol."""
    return (
        f"test ELBO {nats(result['elbo'])} per image "
        f"(reconstruction {nats(result['reconstruction'])}, KL {nats(result['kl'])}; protocol {result['protocol']})"
    )


def _noise_line(result: Mapping[str, Any]) -> str:
    noise = "the run's own noise" if result["key"] is None else f"noise of key {result['key']}"
    error = "" if result["draws"] == 1 else f"; standard error from the noise {nats(result['se_noise'], 3)}"
    images, draws = counted(result["examples"], "test image"), counted(result["draws"], "draw")
    return f"{images} weighted equally, {draws} each of {noise}{error}"


def _parameters_line(result: Mapping[str, Any], epochs: int, state: str) -> str:
    where = f"after step {result['step']:,} and {result['epoch']} of {counted(epochs, 'epoch')}"
    return f"parameters of {result['checkpoint']}, {where}" + ("" if state == "finished" else f"; the run is {state}")


def nats(value: float | None, digits: int = 2) -> str:
    """Write a value in nats; None, which stands for a value that is not finite, is named as such."""
    return "not finite" if value is None else f"{value:.{digits}f} nats"
