"""Every setting of a training run, its presets, and its form in TOML.

The text under each field is also its help on the command line.
"""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tomli_w
from tyro.conf import Suppress

from vae_fn.errors import UserError

TRAINING_IMAGES = 60_000
"""Images in MNIST's training split."""

LARGEST = {"latents": 65_536, "samples": 65_536, "evaluation_draws": 65_536, "key": 2**63 - 1}
"""The largest values of what takes up memory, and the last seed."""

LARGEST_NUMBER = 1e30
"""The largest value of any other setting: float32 ends at 3e38."""

Estimator = Literal["pathwise", "pathwise-sampled", "stl", "score", "iwae", "dreg", "vimco", "rws"]

IMPORTANCE_WEIGHTED = ("iwae", "dreg", "vimco", "rws")
"""Estimators of the importance-weighted bound."""

LEAVE_ONE_OUT = ("score", "vimco")
"""Estimators whose baseline for one sample is the mean over the others."""

_CONVERT: Mapping[Any, Callable[[Any], Any]] = {Path: Path, float: float}


class ConfigError(UserError):
    """A setting that is impossible or means nothing."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run; every value is checked when the object is made."""

    preset: Annotated[Literal["tutorial", "quick"], Suppress] = "tutorial"
    """Preset that the other settings started from."""
    epochs: int = 50
    """Passes over the training images."""
    batch_size: int = 128
    """Images per training step."""
    learning_rate: float = 1e-3
    """Step size of the optimizer (the peak, with a warm-up schedule)."""
    schedule: Literal["constant", "warmup-cosine"] = "constant"
    """How the learning rate changes over the run: not at all, or a linear rise and then half a cosine down to 0."""
    warmup_steps: int = 0
    """Training steps over which the learning rate rises from 0 (warmup-cosine only)."""
    weight_decay: float = 1e-2
    """Decoupled weight decay: each step shrinks the parameters by this fraction of the learning rate; 0 for none."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient, in nats per image; longer ones are scaled down to it. 0 turns this off."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer."""
    latents: int = 2
    """Dimensions of the latent code z."""
    hidden: int = 512
    """Width h of the widest hidden layer; the layers are h, h/2, h/4 and h/8 wide. A multiple of 8."""
    beta: float = 1.0
    """Weight of the KL term; 1 is the ELBO itself."""
    kl_warmup: int = 0
    """Training steps over which beta rises from 0 to its value; 0 starts at the full value."""
    free_bits: float = 0.0
    """KL that costs nothing, in nats per latent dimension; 0 turns this off."""
    estimator: Estimator = "pathwise"
    """Gradient estimator. pathwise is the tutorial's: reparameterised samples and the KL in closed form."""
    samples: int = 1
    """Samples K of the latent code per image and training step."""
    binarise: Literal["grey", "dynamic", "fixed"] = "grey"
    """Pixels to model: grey intensities, black and white drawn afresh every step, or drawn once and kept."""
    held_out: int = 0
    """Training images kept aside for validation, of 60,000."""
    key: int = 0
    """Seed of everything random in the run; the same key gives the same run."""
    log_every: int = 100
    """Training steps between two rows of metrics.jsonl."""
    evaluation_draws: int = 10
    """Noise draws per test image in the result; the curve of each epoch takes one."""
    compile: bool = True
    """Compile the training step (half a minute at the start, faster afterwards)."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps, ..."""
    runs_dir: Path = Path("runs")
    """Folder in which the run's folder is made."""
    name: str | None = None
    """Name of the run's folder; by default the preset and the key, as in tutorial-0."""
    overwrite: bool = False
    """Delete an earlier run of the same name first."""

    def __post_init__(self) -> None:
        for name, kind in field_types(TrainConfig).items():
            object.__setattr__(self, name, _typed(name, kind, getattr(self, name)))
        _check_ranges(self)
        _check_places(self)
        _check_combinations(self)

    @property
    def run_name(self) -> str:
        """The name of the run's folder."""
        return self.name or f"{self.preset}-{self.key}"


def to_toml(config: TrainConfig) -> str:
    """Write every setting as TOML; a name left to the default is left out."""
    table = {field.name: getattr(config, field.name) for field in fields(config)}
    return tomli_w.dumps({k: str(v) if isinstance(v, Path) else v for k, v in table.items() if v is not None})


def from_toml(text: str) -> TrainConfig:
    """Read what `to_toml` wrote.

    Raises:
        ConfigError: The text is no TOML, a setting is missing, unknown, of a wrong type or out of range.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ConfigError(f"not valid TOML: {fault}") from fault
    types = field_types(TrainConfig)
    if unknown := [key for key in table if key not in types]:
        raise ConfigError(f"unknown setting {unknown[0]!r}: remove it, or see `vae-fn train --help` for the names")
    if missing := [name for name in types if name not in table and name != "name"]:
        raise ConfigError(f"the setting {missing[0]!r} is missing: add it")
    return TrainConfig(**{name: _typed(name, types[name], value) for name, value in table.items()})


def check_name(name: str) -> None:
    """Check that a run's name is one plain folder name.

    Raises:
        ConfigError: It is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.+=,-]{0,99}", name, re.ASCII) or name == "None":
        raise ConfigError(
            f"name {name!r} cannot name a run: use at most 100 letters, digits and . _ + = , - "
            "with a letter or digit first; the folder to put it in is --runs-dir"
        )


def field_types(settings: type) -> Mapping[str, Any]:
    """The type of each field of a dataclass, without annotations meant for the command line."""
    hints = get_type_hints(settings)
    return {field.name: hints[field.name] for field in fields(settings)}


def in_words(kind: Any) -> str:
    """Say what values a field's type allows."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
    return plain.get(kind) or " or ".join(plain.get(part, "None") for part in get_args(kind))


def _typed(name: str, kind: Any, value: Any) -> Any:
    """Return the value as its field's type: whole numbers serve as floats and texts as paths, nothing else does."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if number and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{name} must fit into 64 bits")
    if get_origin(kind) is Literal:
        fits = value in get_args(kind)
    elif kind is Path:
        fits = isinstance(value, str | Path)
    elif kind is float:
        fits = number or isinstance(value, float)
    else:
        fits = number if kind is int else isinstance(value, kind)
    if not fits:
        raise ConfigError(f"{name} must be {in_words(kind)}, not {value!r}")
    return _CONVERT[kind](value) if kind in _CONVERT else value


def _check_ranges(config: TrainConfig) -> None:
    positive = ("epochs", "batch_size", "learning_rate", "latents", "samples", "log_every", "evaluation_draws")
    not_negative = ("warmup_steps", "weight_decay", "clip_norm", "beta", "kl_warmup", "free_bits", "key")
    for name in positive + not_negative:
        value, lowest = getattr(config, name), "positive" if name in positive else "0 or more"
        if not math.isfinite(value) or value < 0 or (value == 0 and name in positive):
            raise ConfigError(f"{name} must be {lowest} and finite, not {value!r}")
        if value > LARGEST.get(name, LARGEST_NUMBER):
            raise ConfigError(f"{name} must be at most {LARGEST.get(name, LARGEST_NUMBER):g}, not {value!r}")
    if config.hidden < 8 or config.hidden % 8 or config.hidden > LARGEST["latents"]:
        raise ConfigError(
            "hidden must be a positive multiple of 8 (the last hidden layer is hidden/8 wide), at most "
            f"{LARGEST['latents']}, not {config.hidden}"
        )
    if not 0 <= config.held_out < TRAINING_IMAGES:
        raise ConfigError(f"held_out must lie between 0 and {TRAINING_IMAGES - 1}, not {config.held_out}")
    if config.batch_size > TRAINING_IMAGES - config.held_out:
        raise ConfigError(
            f"batch_size {config.batch_size} is larger than the training set: use at most "
            f"{TRAINING_IMAGES - config.held_out}"
        )


def _check_places(config: TrainConfig) -> None:
    if config.name is not None:
        check_name(config.name)
    if not str(config.runs_dir).isprintable():
        raise ConfigError(f"runs_dir must be a path of printable characters, not {str(config.runs_dir)!r}")
    if not re.fullmatch(r"cpu|(cuda|mps|xpu)(:\d{1,3})?", config.device, re.ASCII):
        raise ConfigError(f"device {config.device!r} is unknown: use cpu, cuda, cuda:1, mps or xpu")


def _check_combinations(config: TrainConfig) -> None:
    if config.estimator in LEAVE_ONE_OUT and config.samples < 2:
        raise ConfigError(
            f"the {config.estimator} estimator compares each sample with the others: use --samples 2 or more"
        )
    if config.beta == 0 and (config.kl_warmup or config.free_bits):
        raise ConfigError("with beta 0 there is no KL term for kl_warmup or free_bits to act on: use a positive --beta")
    if config.weight_decay * config.learning_rate >= 1:
        raise ConfigError("weight_decay times learning_rate must be below 1, or each step overshoots zero")
    if config.warmup_steps and config.schedule == "constant":
        raise ConfigError("warmup_steps does nothing with a constant schedule: use --schedule warmup-cosine")
    if config.free_bits and config.estimator != "pathwise":
        raise ConfigError("free_bits needs the KL in closed form: use --estimator pathwise")
    if config.estimator in IMPORTANCE_WEIGHTED:
        if config.binarise == "grey":
            raise ConfigError(
                f"an importance-sampled bound ({config.estimator}) of grey pixels under a Bernoulli means nothing: "
                "use --binarise dynamic"
            )
        if config.beta != 1 or config.kl_warmup:
            raise ConfigError(
                f"beta and kl_warmup have no meaning in the {config.estimator} bound: use --beta 1 --kl-warmup 0"
            )


PRESETS: dict[str, TrainConfig] = {
    "tutorial": TrainConfig(),
    "quick": TrainConfig(preset="quick", epochs=5, batch_size=125, held_out=5_000),
}
"""Named starting points; the first is the default."""

PRESET_HELP = {
    "tutorial": "the tutorial's hyper-parameters, 50 epochs on all 60,000 images",
    "quick": "the same in a minute or so: 5 epochs on 55,000 images in batches of 125, 5,000 images held out",
}
"""One line on each preset."""
