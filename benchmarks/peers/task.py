"""What every program is given: one folder with the network's sizes, the images, the weights and a check to replay.

It needs numpy alone, so that a program holds only its own framework in memory.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Task(NamedTuple):
    """The sizes of a training step; the defaults are the tutorial's.

    Attributes:
        batch: images in a batch.
        hidden: the widest hidden layer; the others have a half, a quarter and an eighth of it.
        latent: latent dimensions.
        samples: posterior samples per image, K.
        objective: `elbo`, with grey pixels and the KL in closed form, or `iwae`, with binary pixels and K samples.
        microbatch: images that pass through the networks at a time, gradients being summed; 0 for the whole batch.
        members: independent programs of the same sizes that a process trains; a step is one of each.
        chunk: steps in one call of the programs that take many at once; a window has a multiple of it.
    """

    batch: int = 128
    hidden: int = 512
    latent: int = 2
    samples: int = 1
    objective: str = "elbo"
    microbatch: int = 0
    members: int = 1
    chunk: int = 60

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers of the encoder; the decoder has them in reverse."""
        return [self.hidden // 2**i for i in range(4)]


class Given(NamedTuple):
    """The arrays of a task.

    Attributes:
        images: `(n, pixels)`, uint8.
        weights: float32 as `encoder/0.weight`, `(out, in)`: number 2 i of a network is its layer i, between are SiLUs.
        rows: `(steps, batch)`, the images of the batches to replay.
        noise: `(steps, samples, batch, latent)`, float32, standard normal.
    """

    images: np.ndarray
    weights: Arrays
    rows: np.ndarray
    noise: np.ndarray


def write(folder: Path, task: Task, given: Given) -> None:
    """Put a task into a folder."""
    (folder / "task.json").write_text(json.dumps(task._asdict()))
    np.save(folder / "images.npy", given.images)
    np.savez(folder / "weights.npz", allow_pickle=False, **given.weights)
    np.savez(folder / "check.npz", rows=given.rows, noise=given.noise)


def read(folder: Path) -> tuple[Task, Given]:
    """The task that lies in a folder."""
    with np.load(folder / "weights.npz") as weights, np.load(folder / "check.npz") as check:
        given = Given(np.load(folder / "images.npy"), dict(weights), check["rows"], check["noise"])
    return Task(**json.loads((folder / "task.json").read_text())), given


def layers(weights: Arrays, network: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight `(out, in)` and bias of every layer of a network, from its input on."""
    numbers = sorted(int(name.split("/")[1].split(".")[0]) for name in weights if name.startswith(f"{network}/"))[::2]
    return [(weights[f"{network}/{i}.weight"], weights[f"{network}/{i}.bias"]) for i in numbers]


def batches(images: int, batch: int) -> Iterator[np.ndarray]:
    """The rows of one full batch after the other, without end, every epoch in an order of its own."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(images)
        yield from order[: images - images % batch].reshape(-1, batch)
