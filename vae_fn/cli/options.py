"""What the commands that use a trained model have in common."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from vae_fn.run.checks import ConfigError, check_seed
from vae_fn.run.config import TrainConfig
from vae_fn.run.folder import open_run, read_config
from vae_fn.words import counted

Part = Literal["all", "train", "test"]
"""A part of the images."""

CALLED: dict[Part, str] = {"all": "image", "train": "training image", "test": "test image"}
"""An image of each part."""

LARGEST_COUNT = 1_000_000
"""The largest `--count`."""

LARGEST_PICTURE = 1_024
"""The largest `--count` in a picture."""


@dataclass(frozen=True)
class ModelOptions:
    """Which trained model to use, and how."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Folder of the run, such as runs/tutorial-0."""
    checkpoint: str = "newest"
    """Which saved parameters to use: newest, best (by the ELBO of held-out images), or a file in RUN/checkpoints."""
    key: int = 0
    """Seed of what is random here; the same key gives the same result."""
    device: str | None = None
    """Where to compute: cpu, cuda, ...; by default where the run was trained."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        check_seed(self.key)

    def settings(self) -> TrainConfig:
        """The settings of the run, on the device asked for.

        Raises:
            UserError: There is no such run or device.
        """
        config = read_config(open_run(self.run))
        return replace(config, device=self.device or config.device)


def images_of(count: int, part: Part, source: str) -> str:
    """So many images of a part of a source, in words."""
    return f"{counted(count, CALLED[part])} of {source}"


def check_image_count(count: int, picture: bool) -> None:
    """Check how many images are asked for.

    Raises:
        ConfigError: None, or too many.
    """
    if not 1 <= count <= LARGEST_COUNT:
        raise ConfigError(f"count must be positive and at most {LARGEST_COUNT}, not {count}")
    if picture and count > LARGEST_PICTURE:
        raise ConfigError(f"count must be at most {LARGEST_PICTURE} in a picture, not {count}: use --out FILE.npz")
