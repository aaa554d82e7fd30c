"""Every setting of a training run, its presets, and its form in TOML.

The text under each field is also its help on the command line, where lines are broken as they are here.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tomli_w
from tyro.conf import Suppress

from vae_fn.run.checks import ConfigError, check_combinations, check_latents, check_places, check_ranges, check_seed
from vae_fn.run.estimators import Estimator

Preset = Literal["tutorial", "quick", "bernoulli-200", "bernoulli-2x200", "categorical-20x10"]

DATA_NAMES = ("mnist", "fashion-mnist", "kmnist", "emnist")
"""Data sets that have a name; anything else is a path."""

LATER = ("latent_family", "classes", "precision", "microbatch", "cuda_graph")
"""Settings that old runs do not have: their defaults are what those runs did."""

_CONVERT: Mapping[Any, Callable[[Any], Any]] = {Path: Path, float: float}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run; every value is checked when the object is made."""

    preset: Annotated[Preset, Suppress] = "tutorial"
    """Preset that the other settings started from."""
    data: str = "mnist"
    """Images: mnist, fashion-mnist, kmnist, emnist, or the path of a .npy, a .npz or a folder of IDX files."""
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
    latent_family: Literal["normal", "bernoulli", "bernoulli-2", "categorical"] = "normal"
    """Kind of the latents: normal, bits in one or in two stochastic layers, or one-hot variables."""
    latents: int = 2
    """Dimensions of the latent code z: numbers, bits of each layer, or one-hot variables."""
    classes: int = 10
    """Classes of each one-hot variable (categorical only)."""
    hidden: int = 512
    """Width h of the widest hidden layer.
    With normal latents the layers are h, h/2, h/4 and h/8 wide, h a multiple of 8.
    With others there are two of width h, and 0 makes the networks linear."""
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
    """Training images kept aside for validation (MNIST has 60,000)."""
    key: int = 0
    """Seed of everything random in the run; the same key gives the same run."""
    log_every: int = 100
    """Training steps between two rows of metrics.jsonl."""
    evaluation_draws: int = 10
    """Noise draws per test image in the result; the curve of each epoch takes one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the networks compute in while training; parameters, heads and losses are float32, and so is evaluation."""
    microbatch: int = 0
    """Images that pass through the networks at a time; 0 takes the whole batch.
    The gradient is summed over the batch: less memory, the same numbers to rounding."""
    compile: bool = True
    """Compile the training step (half a minute at the start the first time, seconds later on; then faster steps)."""
    cuda_graph: bool = False
    """Replay the compiled step as a CUDA graph, on a CUDA device only; unmeasured."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps, ..."""
    runs_dir: Path = Path("runs")
    """Folder in which the run's folder is made."""
    name: str | None = None
    """Name of the run's folder; by default the preset and the key, as in tutorial-0."""
    tensorboard: bool = True
    """Write curves, pictures and histograms for TensorBoard into the run's folder."""
    checkpoint_every: int = 0
    """Training steps between two checkpoints; 0 for none but those at the end of each epoch, which are always there."""
    keep_last: int = 2
    """Newest checkpoints to keep."""
    keep_best: bool = True
    """Keep the checkpoint with the best validation ELBO as well (the test images never choose one)."""
    skip_nonfinite: bool = False
    """Skip and count the steps that give or leave a number that is not finite, instead of stopping at the first."""

    def __post_init__(self) -> None:
        if isinstance(self.key, int):
            check_seed(self.key)
        for name, kind in field_types(TrainConfig).items():
            object.__setattr__(self, name, _typed(name, kind, getattr(self, name)))
        if self.data and self.data not in DATA_NAMES:
            whole = os.path.abspath(os.path.expanduser(self.data))  # a run may be taken up from elsewhere
            object.__setattr__(self, "data", whole)
        check_ranges(self)
        check_places(self)
        check_latents(self)
        check_combinations(self)

    @property
    def run_name(self) -> str:
        """The name of the run's folder."""
        return self.name or f"{self.preset}-{self.key}"


def to_toml(config: TrainConfig) -> str:
    """Write every setting as TOML; a name left to the default is left out."""
    table = {field.name: getattr(config, field.name) for field in fields(config)}
    return tomli_w.dumps({k: str(v) if isinstance(v, Path) else v for k, v in table.items() if v is not None})


def from_toml(text: str) -> TrainConfig:
    """Read what `to_toml` wrote, or wrote before the settings in `LATER` were there.

    Raises:
        ConfigError: The text is no TOML, a setting is missing, unknown, of a wrong type or out of range.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # a number of thousands of digits is a plain ValueError
        advice = "compare it with what `vae-fn train --print-config` prints"
        raise ConfigError(f"not valid TOML ({fault}): {advice}") from fault
    types = field_types(TrainConfig)
    if unknown := [key for key in table if key not in types]:
        raise ConfigError(f"unknown setting {unknown[0]!r}: remove it, or see `vae-fn train --help` for the names")
    if missing := [name for name in types if name not in table and name not in ("name", *LATER)]:
        raise ConfigError(f"the setting {missing[0]!r} is missing: add it")
    return TrainConfig(**{name: _typed(name, types[name], value) for name, value in table.items()})


def read_toml(file: Path) -> TrainConfig:
    """Read a file that holds what `to_toml` wrote.

    Raises:
        ConfigError: As `from_toml`, or the file is no text; the message names it.
        OSError: It cannot be read.
    """
    try:
        return from_toml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{file}: not a text, let alone TOML: give a file as --print-config writes it") from fault
    except ConfigError as fault:
        raise ConfigError(f"{file}: {fault}") from fault


def field_types(settings: type) -> Mapping[str, Any]:
    """The type of each field of a dataclass, without annotations meant for the command line."""
    hints = get_type_hints(settings)
    return {field.name: hints[field.name] for field in fields(settings)}


def in_words(kind: Any) -> str:
    """Say what values a field's type allows."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
    joint = " and " if get_origin(kind) is tuple else " or "
    return plain.get(kind) or joint.join(in_words(part) for part in get_args(kind) if part not in (NoneType, ...))


def _typed(name: str, kind: Any, value: Any) -> Any:
    """Return the value as its field's type: whole numbers serve as floats and texts as paths, nothing else does."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if number and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{name} must fit into 64 bits, not {value}")
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


def _discrete(preset: Preset, family: Any, *, latents: int, samples: int) -> TrainConfig:
    return TrainConfig(
        preset,
        batch_size=125,
        held_out=5_000,
        weight_decay=0.0,
        clip_norm=0.0,
        latent_family=family,
        latents=latents,
        hidden=0,
        estimator="rloo",
        samples=samples,
        binarise="dynamic",
    )


PRESETS: dict[str, TrainConfig] = {
    "tutorial": TrainConfig(),
    "quick": TrainConfig(preset="quick", epochs=5, batch_size=125, held_out=5_000),
    "bernoulli-200": _discrete("bernoulli-200", "bernoulli", latents=200, samples=4),
    "bernoulli-2x200": _discrete("bernoulli-2x200", "bernoulli-2", latents=200, samples=4),
    "categorical-20x10": _discrete("categorical-20x10", "categorical", latents=20, samples=4),
}
"""Named starting points; the first is the default."""

PRESET_HELP = {
    "tutorial": "the tutorial's hyper-parameters, 50 epochs on all 60,000 images",
    "quick": "the same in a minute or so: 5 epochs on 55,000 images in batches of 125, 5,000 images held out",
    "bernoulli-200": "200 bits, linear encoder and decoder, black and white pixels, 50 epochs",
    "bernoulli-2x200": "the same with two layers of 200 bits",
    "categorical-20x10": "the same with 20 variables of 10 classes",
}
"""One line on each preset."""
