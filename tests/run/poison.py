"""Small runs in this process that lose their numbers at chosen steps."""

from tests.run.runs import write_images
from tests.training.poison import pose_at
from vae_fn.run import assemble
from vae_fn.run.config import TrainConfig

CLOCK = {"beta": 64.0, "kl_warmup": 64}
"""Beta after s steps is s, as the harmed poses want it."""


def config(folder, **settings):
    """The settings of a small run, five steps of 16 images an epoch."""
    write_images(folder, 96)
    defaults = {
        "data": str(folder / "blobs.npy"),
        "runs_dir": folder / "runs",
        "name": "small",
        "epochs": 2,
        "batch_size": 16,
        "hidden": 8,
        "log_every": 2,
        "evaluation_draws": 1,
        "compile": False,
        "tensorboard": False,
    }
    return TrainConfig(**defaults | settings)


def exploding(folder, **settings):
    """A run whose first step is so long that its second is lost, in a layer of the encoder."""
    long = {"optimizer": "sgd", "learning_rate": 1e30, "weight_decay": 0.0, "clip_norm": 0.0, "log_every": 4}
    return config(folder, **long | settings)


def harm(monkeypatch, kind, *steps):
    """Harm these steps of every pathwise run with the settings `CLOCK`."""
    monkeypatch.setattr(assemble, "pose_of", lambda config: pose_at(kind, *steps))
