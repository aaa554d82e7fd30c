"""Stretches of steps: how the loop takes many of them at a time, one by one or in compiled calls."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Float32
from torch import Tensor

from vae_fn import tree
from vae_fn.compiling import Gemm, compile_epoch, compile_step
from vae_fn.random import Streams
from vae_fn.training.batches import Batches
from vae_fn.training.step import Algorithm, Batch, Info, Run, State, draw_noise, step_by_shape
from vae_fn.types import Pixels

Advance: TypeAlias = Callable[[State, int, int], tuple[State, Float32[Tensor, "count fields"]]]
"""`advance(state, step, count)`: take so many steps after `step` steps, within an epoch; with a row of `Info`'s numbers
for each. It may consume the state."""

LONGEST = 100
"""The most steps that one compiled call takes."""


def one_by_one(run: Run, batches: Batches, streams: Streams) -> Advance:
    """The stretch as a loop over a step, as from `step_by_shape`."""

    def advance(state: State, step: int, count: int) -> tuple[State, Tensor]:
        infos = []
        for before in range(step, step + count):
            state, info = run(state, batches(before), streams)
            infos.append(torch.stack(info))
        return state, torch.stack(infos)

    return advance


def compiled_stretches(algorithm: Algorithm, batches: Batches, streams: Streams, gemm: Gemm | None = None) -> Advance:
    """The stretch as compiled calls of the same numbers: one for the full batches, one for a short last batch.

    The images stay where they are: a step gathers its batch at the places that the epoch's order gives, and draws its
    noise, inside the graph. `advance` raises a `ValueError` if a stretch does not lie within an epoch or does not begin
    where the state stands.
    """
    size, whole = batches.size(0), batches.full
    specs = algorithm.noise_like(batches(0))
    streams = tree.clone(streams)  # keys that were split from one share its memory

    def step(state: State, images: Pixels, order: Tensor, streams: Streams) -> tuple[State, Info]:
        first = state.step % batches.per_epoch * size
        batch = Batch(images[order[first + torch.arange(size, device=order.device)]])
        return algorithm.step(state, batch, draw_noise(streams, state.step, specs, torch.float32))

    many = compile_epoch(step, longest=LONGEST, gemm=gemm)
    short = one_by_one(step_by_shape(algorithm, partial(compile_step, gemm=gemm)), batches, streams)

    def advance(state: State, step: int, count: int) -> tuple[State, Tensor]:
        epoch, place = divmod(step, batches.per_epoch)
        if place + count > batches.per_epoch or int(state.step) != step:
            raise ValueError(
                f"{count} steps after step {step} of a state that has done {int(state.step)}, in epochs of "
                f"{batches.per_epoch}: begin where the state stands, and end with its epoch at the latest"
            )
        full, infos = max(0, min(count, whole - place)), []
        if full:
            state, info = many(state, full, batches.images, batches.order(epoch), streams)
            infos.append(torch.stack(info, -1))
        if full < count:
            state, info = short(state, step + full, count - full)
            infos.append(info)
        return state, torch.cat(infos)

    return advance
