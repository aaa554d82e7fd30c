"""The task that all programs are given, and the losses that they must report: this package's, in float64."""

from pathlib import Path

import numpy as np
import task
import torch
from task import Given, Task

from vae_fn import data, gradients, models, random, training, tree
from vae_fn.gradients import estimators
from vae_fn.random import Streams
from vae_fn.training.step import Algorithm, Batch, draw_noise

STEPS = 20
"""After so many steps the loss is compared again."""

FIRST = {"float32": 1e-5, "bfloat16": 2e-2}
"""The largest relative error of the loss at the initial weights."""

LAST = {"float32": 1e-4, "bfloat16": 5e-2}
"""And after the steps: an update of AdamW passes the rounding of small gradients on in full."""


class ParityError(Exception):
    """A program whose losses are not those of the task: its times mean nothing here."""


def streams() -> Streams:
    """The keys of the weights and of the noise to replay."""
    return random.streams(random.key(0))


def algorithm(sizes: Task, precision: str = "float32") -> Algorithm:
    """This package's training step of a task."""
    vae = models.tutorial(sizes.latent, sizes.hidden)
    vae = models.bfloat16_trunk(vae) if precision == "bfloat16" else vae
    importance = sizes.objective == "iwae"
    return training.make_step(
        vae,
        gradients.elbo_sampled_problem if importance else gradients.elbo_problem,
        estimators.iwae() if importance else estimators.pathwise(),
        training.adamw(learning_rate=1e-3, weight_decay=1e-2),
        binarisation=data.FIXED if importance else data.GREY,
        samples=sizes.samples,
        clip_norm=1.0,
        microbatch=sizes.microbatch or None,
    )


def prepare(folder: Path, sizes: Task, images: np.ndarray, steps: int = STEPS) -> list[float]:
    """Write the task of these sizes, and give the losses that replaying it gives in float64.

    The noise is what this package's step draws for itself, so that its timed program can be replayed as it is.
    """
    if sizes.objective == "iwae":
        images = np.where(images > 127, np.uint8(255), np.uint8(0))
    built, keys = algorithm(sizes), streams()
    rows = np.stack([row for row, _ in zip(task.batches(len(images), sizes.batch), range(steps + 1), strict=False)])
    batch = Batch(torch.zeros(sizes.batch, images.shape[1], dtype=torch.uint8))
    specs = built.noise_like(batch)
    drawn = [draw_noise(keys, torch.tensor(i), specs, torch.float32)["noise"].numpy() for i in range(steps + 1)]
    state = built.init(keys.init, batch)
    weights = {name: leaf.numpy() for name, leaf in tree.flat_names(state.params).items()}
    given = Given(images, weights, rows, np.stack(drawn))
    task.write(folder, sizes, given)
    return losses_in_float64(built, given)


def losses_in_float64(built: Algorithm, given: Given) -> list[float]:
    """The losses of the steps on the given batches and noise, each before its update."""
    images = torch.from_numpy(given.images)
    state = built.init(streams().init, Batch(images[given.rows[0]]))
    state = tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, state)
    losses = []
    for rows, noise in zip(given.rows, given.noise, strict=True):
        inputs = {"noise": torch.from_numpy(noise).double(), "binarise": {}}
        state, info = built.step(state, Batch(images[rows]), inputs)
        losses.append(info.loss.item())
    return losses


def check(name: str, precision: str, losses: list[float], right: list[float]) -> dict[str, float]:
    """Hold a program's first and last loss against the right ones.

    Raises:
        ParityError: one is further off than its bound.
    """
    errors = [abs(loss - truth) / abs(truth) for loss, truth in zip(losses, right, strict=True)]
    for place, bound, when in ((0, FIRST, "at the initial weights"), (-1, LAST, f"after {len(right) - 1} steps")):
        if not errors[place] <= bound[precision]:
            raise ParityError(
                f"{name} does not do the same step: its loss {when} is {losses[place]:.6f}, which is "
                f"{errors[place]:.1e} off {right[place]:.6f} (bound for {precision}: {bound[precision]:g}). "
                "Nothing was timed."
            )
    return {"loss": losses[0], "error": errors[0], "later_loss": losses[-1], "later_error": errors[-1]}
