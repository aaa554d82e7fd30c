"""What values the settings of a training run may have, alone and together; each refusal says what to do instead."""

import math
import re
from typing import Any

from vae_fn.errors import UserError
from vae_fn.run.estimators import TRAITS

POSITIVE = (
    *("epochs", "batch_size", "learning_rate", "latents", "classes", "samples", "log_every"),
    *("evaluation_draws", "keep_last"),
)
"""Numbers above 0."""

NOT_NEGATIVE = (
    *("warmup_steps", "weight_decay", "clip_norm", "beta", "kl_warmup", "free_bits"),
    *("held_out", "checkpoint_every", "hidden", "microbatch"),
)
"""Numbers that may be 0."""

LARGEST: dict[str, int] = dict.fromkeys(("latents", "classes", "hidden", "samples", "evaluation_draws"), 65_536)
"""The largest values of what takes up memory."""

LARGEST_NUMBER = 1e30
"""The largest value of any other setting: float32 ends at 3e38."""


class ConfigError(UserError):
    """A setting that is impossible or means nothing."""


def check_name(name: str) -> None:
    """Check that a run's name is one plain folder name.

    Raises:
        ConfigError: It is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.+=,-]{0,99}", name, re.ASCII):
        raise ConfigError(
            f"name {name!r} cannot name a run: use at most 100 letters, digits and . _ + = , - "
            "with a letter or digit first; the folder to put it in is --runs-dir"
        )


def check_seed(key: int, called: str = "key") -> None:
    """Check a seed, which refusals call so.

    Raises:
        ConfigError: It is out of range.
    """
    if not 0 <= key < 2**63:
        raise ConfigError(f"{called} must lie between 0 and 2^63 - 1, not {key}")


def check_number(name: str, value: int | float, called: str) -> None:
    """Check a number of `POSITIVE` or `NOT_NEGATIVE` by itself.

    Args:
        name: of the setting.
        value: of it.
        called: what refusals call it.

    Raises:
        ConfigError: It is out of range.
    """
    lowest, largest = "positive" if name in POSITIVE else "0 or more", LARGEST.get(name, LARGEST_NUMBER)
    if not math.isfinite(value) or value < 0 or (value == 0 and name in POSITIVE):
        raise ConfigError(f"{called} must be {lowest} and finite, not {value!r}")
    if value > largest:
        raise ConfigError(f"{called} must be at most {largest:g}, not {value!r}")


def check_ranges(config: Any) -> None:
    """Check each number by itself."""
    if config.latent_family == "normal" and (config.hidden % 8 or not 8 <= config.hidden <= LARGEST["hidden"]):
        raise ConfigError(
            "hidden must be a positive multiple of 8 (the last hidden layer is hidden/8 wide), at most "
            f"{LARGEST['hidden']}, not {config.hidden}"
        )
    for name in POSITIVE + NOT_NEGATIVE:
        check_number(name, getattr(config, name), name)


def check_places(config: Any) -> None:
    """Check names, paths and the device."""
    if config.name is not None:
        check_name(config.name)
    for place in ("runs_dir", "data"):
        if not (text := str(getattr(config, place))).isprintable() or not text:
            raise ConfigError(f"{place} must be a path of printable characters, not {text!r}")
    if not re.fullmatch(r"cpu|(cuda|mps|xpu)(:\d{1,3})?", config.device, re.ASCII):
        raise ConfigError(f"--device {config.device!r} is unknown: use cpu, cuda, cuda:1, mps or xpu")


def check_latents(config: Any) -> None:
    """Check what does not go with the kind of the latents."""
    family = config.latent_family
    if family != "categorical" and config.classes != 10:
        raise ConfigError(f"classes does nothing with {family} latents: use --latent-family categorical")
    if family == "categorical" and config.classes < 2:
        raise ConfigError(f"a variable with {config.classes} classes says nothing: use --classes 2 or more")
    if family == "categorical" and config.latents * config.classes > LARGEST["latents"]:
        raise ConfigError(f"latents times classes must be at most {LARGEST['latents']}: lower one of them")
    takes = TRAITS[config.estimator].latents
    if family == "normal" and takes == "discrete":
        raise ConfigError(
            f"the {config.estimator} estimator is made for discrete latents: use --latent-family bernoulli, or "
            "--estimator pathwise"
        )
    if family == "normal":
        return
    if takes == "continuous":
        raise ConfigError(
            f"the {config.estimator} estimator differentiates samples, and {family} latents have no gradient: use "
            "--estimator rloo --samples 2 or more"
        )
    if config.free_bits:
        raise ConfigError(f"free_bits is there for normal latents, not for {family} ones: use --free-bits 0")


def check_cuda_graph(config: Any) -> None:
    """Check, before training, that the step can be replayed; whoever only uses the model may do so on any device.

    Raises:
        ConfigError: It cannot.
    """
    if config.cuda_graph and not config.device.startswith("cuda"):
        raise ConfigError(
            f"--cuda-graph is for a CUDA device, not for {config.device}: use --device cuda, or --no-cuda-graph"
        )
    if config.cuda_graph and not config.compile:
        raise ConfigError("--cuda-graph replays a compiled step: use --compile, or --no-cuda-graph")
    if config.cuda_graph and config.microbatch:
        raise ConfigError("--cuda-graph takes no micro-batches: use --microbatch 0, or --no-cuda-graph")


def check_combinations(config: Any) -> None:
    """Check what does not go together."""
    traits = TRAITS[config.estimator]
    if config.samples < traits.fewest:
        raise ConfigError(
            f"the {config.estimator} estimator compares each sample with the others: use --samples 2 or more"
        )
    if config.microbatch and traits.stateful:
        raise ConfigError(
            f"the {config.estimator} estimator learns from whole batches: use --microbatch 0 and, to save memory, a "
            "smaller --batch-size"
        )
    if config.beta == 0 and (config.kl_warmup or config.free_bits):
        raise ConfigError("with beta 0 there is no KL term for kl_warmup or free_bits to act on: use a positive --beta")
    if config.weight_decay * config.learning_rate >= 1:
        raise ConfigError(
            "weight_decay times learning_rate must be below 1, or each step overshoots zero: lower one of them"
        )
    if config.warmup_steps and config.schedule == "constant":
        raise ConfigError("warmup_steps does nothing with a constant schedule: use --schedule warmup-cosine")
    if config.free_bits and config.estimator != "pathwise":
        raise ConfigError("free_bits needs the KL in closed form: use --estimator pathwise")
    if traits.weighted:
        if config.binarise == "grey":
            raise ConfigError(
                f"an importance-sampled bound ({config.estimator}) of grey pixels under a Bernoulli means nothing: "
                "use --binarise dynamic"
            )
        if config.beta != 1 or config.kl_warmup:
            raise ConfigError(
                f"beta and kl_warmup have no meaning in the {config.estimator} bound: use --beta 1 --kl-warmup 0"
            )
