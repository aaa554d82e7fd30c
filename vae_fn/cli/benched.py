"""From settings, or from MODULE:OBJECT, to the step that `vae-fn bench` times."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.bench.purity import check_step
from vae_fn.bench.subject import Source, Subject, own
from vae_fn.cli.locate import Located, locate, reported
from vae_fn.errors import UserError
from vae_fn.random import Streams
from vae_fn.run.assemble import assemble
from vae_fn.run.config import TrainConfig, from_toml, to_toml
from vae_fn.run.train import initial_state
from vae_fn.training.step import Algorithm, Batch, State, draw_noise
from vae_fn.types import Pixels


def settings_source(config: TrainConfig) -> Source:
    """The source of the step of a training run."""
    return Source(f"{__name__}:of_settings", {"toml": to_toml(config)}, config.batch_size, config.samples)


def own_source(step: str, args: str, batch: int | None) -> Source:
    """The source of a user's own step."""
    return Source(f"{__name__}:of_user", {"step": step, "args": args, "batch": batch}, batch)


def of_settings(toml: str, settings: dict[str, Any]) -> Subject:
    """The training step of settings with some of them changed; it gathers its batch and draws its noise."""
    config = replace(from_toml(toml), **settings)
    parts = assemble(config)
    exact = parts if config.precision == "float32" else assemble(replace(config, precision="float32"))
    batches, size = parts.batches, config.batch_size
    specs = parts.algorithm.noise_like(batches(0))

    def drawing(algorithm: Algorithm, dtype: torch.dtype) -> Any:
        def step(state: State, images: Pixels, order: Tensor, streams: Streams) -> Any:
            first = state.step % batches.full * size
            batch = Batch(images[order[first + torch.arange(size, device=order.device)]])
            return algorithm.step(state, batch, draw_noise(streams, state.step, specs, dtype))

        return step

    streams = tree.clone(parts.streams)  # keys that were split from one share its memory
    inputs = (batches.images, batches.order(0), streams)
    return Subject(
        drawing(parts.algorithm, torch.float32),
        initial_state(parts),
        inputs,
        drawing(exact.algorithm, torch.float64),
        config.precision,
    )


def of_user(step: str, args: str, batch: int | None, settings: dict[str, Any]) -> Subject:
    """A user's step with what the function of `--args` returns, called with the batch size if it takes one.

    Raises:
        UserError: one of them is not there, is of the wrong kind or raises; or the step is not pure.
    """
    if settings:
        raise UserError(f"{', '.join(settings)} is a setting of a preset: leave that row out for a step of your own")
    located, made = (_function(locate(*target)) for target in ((step,), (args, "--args")))
    sizes = () if batch is None else (batch,)
    with reported(args, made.file):
        given = made.value(*sizes)
    if type(given) is not tuple or not given:
        raise UserError(f"{args} must return a tuple (state, *inputs), not {type(given).__name__}")
    subject = own(located.value, *given)
    with reported(step, located.file):
        check_step(subject, step)
    return subject


def _function(located: Located) -> Located:
    if not callable(located.value):
        raise UserError(f"{located.target} is of type {type(located.value).__name__}: give a function")
    return located
