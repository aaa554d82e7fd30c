"""From settings, or from MODULE:OBJECT, to the step that `vae-fn bench` times."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.bench.purity import check_step
from vae_fn.bench.subject import Source, Step, Subject, own
from vae_fn.cli.locate import Located, locate, reported, takes
from vae_fn.errors import UserError
from vae_fn.random import Streams
from vae_fn.run.assemble import Parts, assemble_members
from vae_fn.run.config import TrainConfig, from_toml, to_toml
from vae_fn.run.train import initial_state
from vae_fn.training.batches import Batches
from vae_fn.training.step import Batch, State, draw_noise
from vae_fn.training.vmapped import joint_step, orders_of, own_of, stacked
from vae_fn.types import Pixels


def settings_source(config: TrainConfig, members: int = 1) -> Source:
    """The source of the step of a training run, or of several that differ in their keys and advance side by side."""
    given = {"toml": to_toml(config), "members": members}
    return Source(f"{__name__}:of_settings", given, config.batch_size, config.samples, members)


def own_source(step: str, args: str, batch: int | None) -> Source:
    """The source of a user's own step."""
    return Source(f"{__name__}:of_user", {"step": step, "args": args, "batch": batch}, batch)


def of_settings(toml: str, members: int, settings: dict[str, Any]) -> Subject:
    """The training step of settings with some of them changed; it gathers its batch and draws its noise.

    Of several members it is one step of all of them, by `torch.vmap`, with keys that count up.
    """
    config = replace(from_toml(toml), **settings)
    parts = _parts(config, members)
    exact = parts if config.precision == "float32" else _parts(replace(config, precision="float32"), members)
    if members > 1:
        return _joint(parts, exact)
    (one,), (exact_one,) = parts, exact
    streams = tree.clone(one.streams)  # keys that were split from one share its memory
    inputs = (one.batches.images, one.batches.order(0), streams)
    step, exact_step = _drawing(one, torch.float32), _drawing(exact_one, torch.float64)
    return Subject(step, initial_state(one), inputs, exact_step, config.precision)


def _parts(config: TrainConfig, members: int) -> list[Parts]:
    return assemble_members([replace(config, key=config.key + number) for number in range(members)])


def _drawing(parts: Parts, dtype: torch.dtype) -> Step:
    batches, size, algorithm = parts.batches, parts.config.batch_size, parts.algorithm
    specs = algorithm.noise_like(batches(0))

    def step(state: State, images: Pixels, order: Tensor, streams: Streams) -> Any:
        first = state.step % batches.full * size
        batch = Batch(images[order[first + torch.arange(size, device=order.device)]])
        return algorithm.step(state, batch, draw_noise(streams, state.step, specs, dtype))

    return step


def _joint(parts: list[Parts], exact: list[Parts]) -> Subject:
    """One step of all members, on as many images as make full batches."""
    config, batches = parts[0].config, parts[0].batches
    images = batches.images[: batches.full * config.batch_size].clone()
    members = [each.member._replace(batches=Batches(images, each.streams.order, config.batch_size)) for each in parts]
    step = joint_step(parts[0].family, members[0], config.batch_size)
    exact_step = joint_step(exact[0].family, members[0], config.batch_size, torch.float64)
    inputs = (images, orders_of(members, 0), *own_of(members))
    return Subject(step, stacked([initial_state(each) for each in parts]), inputs, exact_step, config.precision)


def of_user(step: str, args: str, batch: int | None, settings: dict[str, Any]) -> Subject:
    """A user's step with what the function of `--args` returns, called with the batch size if it takes one.

    Raises:
        UserError: one of them is not there, is of the wrong kind, takes other arguments or raises; or the step is not
            pure.
    """
    if settings:
        raise UserError(f"{', '.join(settings)} is a setting of a preset: leave that row out for a step of your own")
    located, made = (_function(locate(*target)) for target in ((step,), (args, "--args")))
    sizes = () if batch is None else (batch,)
    _check_sizes(made, sizes)
    with reported(args, made.file):
        given = made.value(*sizes)
    if type(given) is not tuple or not given:
        raise UserError(f"{args} must return a tuple (state, *inputs), not {type(given).__name__}")
    subject = own(located.value, *given)
    with reported(step, located.file):
        check_step(subject, step)
    return subject


def _check_sizes(made: Located, sizes: tuple[int, ...]) -> None:
    """Refuse a function of `--args` that cannot be called with the batch size, or with nothing where none is given."""
    target, function = made.target, made.value
    if takes(function, *sizes):
        return
    if not sizes and takes(function, 1):
        raise UserError(f"{target} takes a batch size: give it one by --batch-sizes")
    if sizes and takes(function):
        raise UserError(f"{target} takes no batch size: leave out --batch-sizes, or have it take one")
    raise UserError(f"{target} must take a batch size, given by --batch-sizes, or nothing")


def _function(located: Located) -> Located:
    if not callable(located.value):
        raise UserError(f"{located.target} is of type {type(located.value).__name__}: give a function")
    return located
