"""A small trained model of one's own images, for the tests of what is done with it."""

import numpy as np

from vae_fn.run.config import TrainConfig
from vae_fn.run.train import train


def write_images(path, count=300, seed=0, shape=(6, 6), **arrays):
    """Bright and dark rows in every mixture; as `.npz` with further arrays."""
    rng = np.random.default_rng(seed)
    images = (255 * rng.random((count, *shape[:1], *(1 for _ in shape[1:]))) * np.ones(shape)).astype(np.uint8)
    np.savez(path, images=images, **arrays) if path.suffix == ".npz" else np.save(path, images)
    return images


def small_run(folder, **settings):
    """A run of a few steps on `images.npy` in the folder."""
    defaults = {
        "data": str(folder / "images.npy"),
        "runs_dir": folder / "runs",
        "epochs": 2,
        "batch_size": 50,
        "hidden": 8,
        "learning_rate": 0.01,
        "evaluation_draws": 2,
        "compile": False,
        "tensorboard": False,
    }
    return train(TrainConfig(**defaults | settings), overwrite=True, quiet=True)
