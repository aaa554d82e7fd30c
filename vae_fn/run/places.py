"""Where gradients are measured: a published problem, or the model of a run at some of its checkpoints."""

from pathlib import Path
from typing import NamedTuple

from vae_fn import random
from vae_fn.evaluation.latents import targets
from vae_fn.gradients.posed import Posed
from vae_fn.gradients.published import trained_vae
from vae_fn.run.checkpoints import checkpoints, without_checkpoint
from vae_fn.run.codes import load_trained, prepared
from vae_fn.run.config import TrainConfig

BINARISE = 10
"""Child of the key `figures`, after those of `subject`: binarisation of the images that gradients are those of."""


class Place(NamedTuple):
    """A problem at given parameters.

    Attributes:
        posed: the problem.
        step: of training; None outside of a run.
        binary: whether data may be weighed by importance: grey pixels may not.
    """

    posed: Posed
    step: int | None = None
    binary: bool = True


def saved(run: Path) -> list[str]:
    """All checkpoints of a run, the oldest first.

    Raises:
        RunError: there is none.
    """
    names = [path.name for path in reversed(checkpoints(run))]
    if not names:
        raise without_checkpoint(run)
    return names


def place_of(run: Path, config: TrainConfig, checkpoint: str, count: int, key: int) -> Place:
    """The ELBO of a run's model at a checkpoint, on the first of its test images, as its protocol shows them.

    Args:
        run: its folder.
        config: its settings, with the device to compute on.
        checkpoint: as in `codes.choose_checkpoint`.
        count: of images; all, if they are fewer.
        key: seed of their binarisation, the same at all checkpoints.

    Raises:
        UserError: as `codes.load_trained`, or the run's images cannot be had.
    """
    trained = load_trained(run, config, checkpoint, key)
    images = prepared(trained, config.data).dataset.test.images[:count].to(config.device)
    x = targets(images, trained.protocol, random.fold_in(trained.key, BINARISE))
    name = f"{run.resolve().name}(step={trained.record.step})"
    posed = trained_vae(trained.vae, trained.params, x, name=name)
    return Place(posed, trained.record.step, trained.protocol.binary)
