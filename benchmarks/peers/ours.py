"""This package's training step: eager, compiled, or compiled for many steps in a call. Members take turns of a call."""

import functools
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
from torch import Tensor

from vae_fn import compiling, tree
from vae_fn.training import step_by_shape
from vae_fn.training.step import Algorithm, Batch, Info, State, draw_noise

Advance = Callable[[State, Tensor], tuple[State, list[Tensor]]]
"""From a state and rows `(steps, batch)` to the state after a step on each, and their losses."""


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """The program in the `form` and `precision` of the options; all others go to `compile_step` and `compile_epoch`."""
    settings = dict(options)
    form, precision = settings.pop("form"), settings.pop("precision", "float32")
    algorithm, images = reference.algorithm(sizes, precision), torch.from_numpy(given.images)
    advance = FORMS[form](algorithm, images, sizes, **settings)
    chunk = sizes.chunk if form == "epoch" else 1
    order = task.batches(len(images), sizes.batch)

    def start() -> State:
        fresh = algorithm.init(reference.streams().init, Batch(images[: sizes.batch]))
        weights = {name: torch.from_numpy(value.copy()) for name, value in given.weights.items()}
        return fresh._replace(params=tree.from_names(weights, fresh.params))

    states = [start() for _ in range(sizes.members)]

    def run(steps: int) -> None:
        for _ in range(steps // chunk):
            for member, state in enumerate(states):
                rows = torch.from_numpy(np.stack(list(itertools.islice(order, chunk))))
                states[member], _ = advance(state, rows)

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        del noise  # is what the steps draw by themselves
        replayed, losses = start(), []
        for part in torch.from_numpy(rows).split(chunk):
            replayed, found = advance(replayed, part)
            losses += map(float, found)
        return losses

    return Program(run, replay, chunk)


def step_by_step(edge: Callable, algorithm: Algorithm, images: Tensor, sizes: Task, **settings: Any) -> Advance:
    """A call a step."""
    take, streams = step_by_shape(algorithm, functools.partial(edge, **settings)), reference.streams()

    def advance(state: State, rows: Tensor) -> tuple[State, list[Tensor]]:
        losses = []
        for chosen in rows:
            state, info = take(state, Batch(images[chosen]), streams)
            losses.append(info.loss)
        return state, losses

    return advance


def many_at_once(algorithm: Algorithm, images: Tensor, sizes: Task, **settings: Any) -> Advance:
    """A call a chunk; the images stay where they are, a step gathers its batch inside the graph."""
    specs = algorithm.noise_like(Batch(images[: sizes.batch]))
    streams = tree.clone(reference.streams())  # keys that were split from one share its memory

    def step(state: State, images: Tensor, order: Tensor, streams: Any) -> tuple[State, Info]:
        first = state.step % sizes.chunk * sizes.batch
        batch = Batch(images[order[first + torch.arange(sizes.batch)]])
        return algorithm.step(state, batch, draw_noise(streams, state.step, specs, torch.float32))

    many = compiling.compile_epoch(step, **settings)
    room = torch.zeros(sizes.chunk, sizes.batch, dtype=torch.int64)

    def advance(state: State, rows: Tensor) -> tuple[State, list[Tensor]]:
        room[: len(rows)] = rows
        state, infos = many(state, len(rows), images, room.view(-1), streams)
        return state, list(infos.loss)

    return advance


FORMS: dict[str, Callable[..., Advance]] = {
    "eager": functools.partial(step_by_step, lambda step: step),
    "step": functools.partial(step_by_step, compiling.compile_step),
    "epoch": many_at_once,
}

if __name__ == "__main__":
    program.serve(build)
