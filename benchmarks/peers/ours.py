"""This package's training step."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import program
import reference
import task
import torch
from program import Program
from task import Given, Task

from vae_fn import tree
from vae_fn.compiling import compile_step
from vae_fn.training import step_by_shape
from vae_fn.training.step import Algorithm, Batch, Run, State

FORMS: dict[str, Callable[[Algorithm], Run]] = {
    "eager": step_by_shape,
    "step": lambda algorithm: step_by_shape(algorithm, compile_step),
}
"""From an algorithm to the function that takes a step of it and draws its own noise."""


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """A step a call, in the form that the options name."""
    algorithm, streams, images = reference.algorithm(sizes), reference.streams(), torch.from_numpy(given.images)
    take, order = FORMS[options["form"]](algorithm), task.batches(len(images), sizes.batch)

    def batch(rows: np.ndarray) -> Batch:
        return Batch(images[torch.from_numpy(rows)])

    def start() -> State:
        fresh = algorithm.init(streams.init, batch(given.rows[0]))
        return fresh._replace(params=tree.from_names(_tensors(given), fresh.params))

    state = start()

    def run(steps: int) -> None:
        nonlocal state
        for rows in itertools.islice(order, steps):
            state, _ = take(state, batch(rows), streams)

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        del noise  # is what the step draws from these streams
        replayed, losses = start(), []
        for chosen in rows:
            replayed, info = take(replayed, batch(chosen), streams)
            losses.append(float(info.loss))
        return losses

    return Program(run, replay)


def _tensors(given: Given) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value.copy()) for name, value in given.weights.items()}


if __name__ == "__main__":
    program.serve(build)
