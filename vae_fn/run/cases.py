"""Cases: a training step that was not finite, with all that it takes to run it again, in one safetensors file.

The tensors are the state before the step, its batch and noise and the two numbers that schedules gave, under their
paths, as in `state/params/encoder/0.weight`; the rest stands in the file's metadata, as JSON. No data set is needed.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import binarisation
from vae_fn.models import VAE
from vae_fn.optimization.schedules import constant
from vae_fn.run.assemble import as_trained, make_algorithm, make_model
from vae_fn.run.config import TrainConfig, from_toml, to_toml
from vae_fn.run.folder import NONFINITE, RunError, saved_steps, write_atomic
from vae_fn.run.machine import check_device
from vae_fn.run.sealed import BrokenError, count, image_shape, seal, unseal
from vae_fn.run.values import is_weighted
from vae_fn.training.step import Algorithm, Batch, State
from vae_fn.types import Shape, Tree


class Inputs(NamedTuple):
    """What a step computes with.

    Attributes:
        state: the state before it.
        batch: its batch.
        noise: its noise, by stream.
        learning_rate: at this step.
        beta: the weight of the KL at this step.
    """

    state: State
    batch: Batch
    noise: dict[str, Tree]
    learning_rate: Float[Tensor, ""]
    beta: Float[Tensor, ""]


class Case(NamedTuple):
    """A step that was not finite.

    Attributes:
        step: its number, from 1.
        found: whether running it again was not finite either; else it is the last of those one of which was not.
        config: the settings of the run.
        shape: of one image before it was made a row.
        inputs: what it computes with.
    """

    step: int
    found: bool
    config: TrainConfig
    shape: Shape
    inputs: Inputs


class Record(NamedTuple):
    """What stands in a case besides tensors: as in `Case`, but for the settings, which are TOML."""

    step: int
    found: bool
    config: str
    shape: Shape


def save_case(run: Path, case: Case) -> Path:
    """Write a case into a run's folder and return its file."""
    record = Record(case.step, case.found, to_toml(case.config), case.shape)
    path = case_file(run, case.step)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, seal(case.inputs, record._asdict()))
    return path


def case_file(run: Path, step: int) -> Path:
    """Where the case of a step is kept."""
    return run / NONFINITE / f"step-{step:09d}.safetensors"


def find_case(run: Path, step: int | None = None) -> Path:
    """The case of a step, or that of the latest step there is one of.

    Raises:
        RunError: There is none.
    """
    steps = sorted(saved_steps(run / NONFINITE))
    if not steps:
        raise RunError(f"{run} has no step that was not finite: there is nothing to replay")
    if step is not None and step not in steps:
        raise RunError(f"{run} has no case of step {step}: use --step {' or '.join(map(str, steps))}")
    return case_file(run, steps[-1] if step is None else step)


def read_case(path: Path, device: str | None = None) -> Case:
    """Read a case.

    Args:
        path: the file.
        device: where to put it; by default where the run was trained.

    Raises:
        UserError: the file is truncated, damaged, foreign or of a newer version, or holds another model; or the device
            cannot be used.
    """
    stored, record = _read(path)
    config = from_toml(record.config)
    config = replace(config, device=device or config.device)
    check_device(config)
    inputs = tree.map(lambda leaf: leaf.to(config.device), _inputs(path, stored, config, record.shape))
    return Case(record.step, record.found, config, record.shape, inputs)


def rebuild(config: TrainConfig, shape: Shape, learning_rate: Tensor, beta: Tensor) -> tuple[VAE, Algorithm]:
    """The model of a run as its steps compute it, and its algorithm at one step."""
    vae = make_model(config, shape)
    protocol = binarisation(config.binarise)
    weight = constant(beta) if is_weighted(config) else None
    return as_trained(config, vae), make_algorithm(config, vae, protocol, constant(learning_rate), weight)


def _read(path: Path) -> tuple[dict[str, Tensor], Record]:
    try:
        stored, record = unseal(path, "case", _record)
    except BrokenError as fault:
        raise RunError(f"{path} {fault}; {_AGAIN}") from fault
    if missing := [name for name in ("state/step", "batch/pixels", "learning_rate", "beta") if name not in stored]:
        raise RunError(f"{path} has no {missing[0]}: {_AGAIN}")
    if stored["state/step"].tolist() != record.step - 1:
        raise RunError(f"{path} is damaged: it is of step {record.step}, but its state is not; {_AGAIN}")
    return stored, record


def _record(content: Any) -> Record:
    """A record from JSON, whose every value is checked."""
    record = Record(**content)
    if not isinstance(record.found, bool) or not isinstance(record.config, str):
        raise TypeError("neither true nor false, or not a text")
    return record._replace(step=count(record.step), shape=image_shape(record.shape))


def _inputs(path: Path, stored: Mapping[str, Tensor], config: TrainConfig, shape: Shape) -> Inputs:
    """The tree of what is stored, if it is what the settings say."""
    batch, learning_rate, beta = Batch(stored["batch/pixels"]), stored["learning_rate"], stored["beta"]
    another = RunError(f"{path} holds another model than its settings say: {_AGAIN}")
    if batch.pixels.shape[1:] != (math.prod(shape),):
        raise another
    _, algorithm = rebuild(config, shape, learning_rate, beta)
    state = tree.shapes_of(lambda: algorithm.init(random.key(0), batch))
    like = Inputs(state, batch, algorithm.noise_like(batch), learning_rate, beta)
    expected = {name: tuple(leaf.shape) for name, leaf in tree.flat_names(like).items()}
    if expected != {name: tuple(leaf.shape) for name, leaf in stored.items()}:
        raise another
    return tree.from_names(stored, like)


_AGAIN = "train again, and it is written anew"
