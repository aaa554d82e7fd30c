"""The training loop: epochs of steps, and rows for whoever listens."""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from vae_fn.data import batch_slices, epoch_order
from vae_fn.random import Streams
from vae_fn.training.step import Batch, Info, State


class Row(NamedTuple):
    """Training since the last row: `info` weighs examples equally (`grad_norm`: steps); `seconds` since the start."""

    step: int
    epoch: int
    info: dict[str, float]
    seconds: float
    examples_per_second: float


class Hooks(NamedTuple):
    """Who listens: `log(row)` at every row, the last of an epoch included; then `epoch(state, step, epoch)`."""

    log: Callable[[Row], None] = lambda row: None
    epoch: Callable[[State, int, int], None] = lambda state, step, epoch: None


def fit(
    run: Callable[[State, Batch, Streams], tuple[State, Info]],
    state: State,
    images: UInt8[Tensor, "n d"],
    streams: Streams,
    *,
    epochs: int,
    batch_size: int,
    log_every: int,
    hooks: Hooks,
) -> State:
    """Run all epochs and return the last state; the device is waited for at rows alone.

    Args:
        run: a step that draws its own noise, as from `step_by_shape`; it may consume the state.
        state: where to start.
        images: the training images, resident on the state's device.
        streams: the run's keys; `order` orders the epochs.
        epochs: passes over the images, each in its own order; a short last batch is kept.
        batch_size: images per step.
        log_every: steps per row.
        hooks: who listens.
    """
    slices = batch_slices(len(images), batch_size)
    window, start, step = _Window(), time.perf_counter(), 0
    with _progress(epochs * len(slices)) as bar:
        for epoch in range(1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}")
            order = epoch_order(streams.order, epoch - 1, len(images))
            for part in slices:
                state, info = run(state, Batch(images[order[part]]), streams)
                step += 1
                window.add(info, part.stop - part.start)
                bar.update()
                if step % log_every == 0 or part is slices[-1]:
                    row = Row(step, epoch, *window.close(start))
                    bar.set_postfix_str(_postfix(row), refresh=False)
                    hooks.log(row)
            hooks.epoch(state, step, epoch)
            window.restart()
    return state


class _Window:
    """The steps since the last row; what they report stays on the device until the row is written."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.infos: list[Info] = []
        self.sizes: list[int] = []
        self.since = time.perf_counter()

    def add(self, info: Info, size: int) -> None:
        self.infos.append(info)
        self.sizes.append(size)

    def close(self, start: float) -> tuple[dict[str, float], float, float]:
        steps = torch.stack([torch.stack(info) for info in self.infos]).tolist()
        total = sum(self.sizes)
        means = dict.fromkeys(Info._fields, 0.0)
        for size, values in zip(self.sizes, steps, strict=True):
            for name, value in zip(Info._fields, values, strict=True):
                means[name] += value * (1 / len(steps) if name == "grad_norm" else size / total)
        now = time.perf_counter()
        speed = total / (now - self.since)
        self.restart()
        return means, now - start, speed


def _postfix(row: Row) -> str:
    terms = ", ".join(f"{name} {row.info[name]:.2f}" for name in ("loss", "reconstruction", "kl"))
    return f"{terms}, {row.examples_per_second:,.0f} examples/s"


def _progress(steps: int) -> tqdm:
    seconds_between = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(total=steps, unit="step", dynamic_ncols=True, mininterval=seconds_between)
