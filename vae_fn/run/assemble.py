"""From settings to the parts of a run: data, model, algorithm. Training and evaluation build them here alike."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

import torch

from vae_fn import gradients, models, random
from vae_fn.data import Binarisation, Dataset, binarisation, hold_out, load, to_device
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.models import VAE
from vae_fn.optimization import optimizers
from vae_fn.optimization.schedules import Schedule
from vae_fn.random import Streams
from vae_fn.run.checks import ConfigError, check_cuda_graph
from vae_fn.run.config import TrainConfig
from vae_fn.run.faults import check_cache
from vae_fn.run.machine import check_compiler, check_device
from vae_fn.run.values import make_beta, make_learning_rate, make_values, scalar
from vae_fn.training.batches import Batches
from vae_fn.training.skipping import skip_nonfinite
from vae_fn.training.step import Algorithm, Batch, Pose, make_step
from vae_fn.training.stretches import Family, Member
from vae_fn.types import Shape, Tree

DATA_SEED = 2**64 - 1
"""The stated key of what belongs to the data and not to a run: the fixed binarisation and the validation split."""


OWN = ("key", "beta", "learning_rate", "runs_dir", "name")
"""Settings that members of an ensemble have of their own."""


class Parts(NamedTuple):
    """What a training run is made of.

    Attributes:
        config: the settings.
        dataset: the images, on the run's device.
        protocol: how pixels become targets.
        vae: the model.
        streams: the keys.
        family: the training step as a function of `values`; that of an ensemble is one.
        values: learning rate and, where it is not the number 1, weight of the KL.
        algorithm: the training step.
        batches: the batch of every step.
        learning_rate: as a function of the steps before.
        beta: the weight of the KL as a function of the steps before.
    """

    config: TrainConfig
    dataset: Dataset
    protocol: Binarisation
    vae: VAE
    streams: Streams
    family: Family
    values: Tree
    algorithm: Algorithm
    batches: Batches
    learning_rate: Schedule
    beta: Schedule

    @property
    def steps(self) -> int:
        """Training steps in all."""
        return self.config.epochs * self.batches.per_epoch

    @property
    def member(self) -> Member:
        """The run as one of several trainings."""
        return Member(self.values, self.batches, self.streams)


def assemble(config: TrainConfig) -> Parts:
    """Make the parts of a run; everything that a user can have got wrong in them is found here.

    Raises:
        UserError: the device or the data cannot be used, a setting does not fit them, or there is no compiler.
    """
    return assemble_members([config])[0]


def assemble_members(configs: Sequence[TrainConfig]) -> list[Parts]:
    """Make the parts of the members of an ensemble, which share images, model and family.

    Raises:
        UserError: as `assemble`.
        ValueError: the settings differ in others than `OWN`.
    """
    config = configs[0]
    shared = [{f.name: getattr(each, f.name) for f in fields(each) if f.name not in OWN} for each in configs]
    if any(others != shared[0] for others in shared):
        raise ValueError(f"members of an ensemble share all settings but {', '.join(OWN)}")
    check_cuda_graph(config)
    check_device(config)
    check_compiler(config)
    check_cache(config)
    dataset, protocol = make_data(config)
    vae, images = make_model(config, dataset.shape), dataset.train.images
    steps = config.epochs * Batches(images, random.key(0), config.batch_size).per_epoch
    family = make_family(config, vae, protocol, steps)
    check_estimator(config, family(make_values(config)), math.prod(dataset.shape))

    def parts(config: TrainConfig) -> Parts:
        streams, values = make_streams(config), make_values(config)
        batches = Batches(images, streams.order, config.batch_size)
        rate = make_learning_rate(config, steps, values["learning_rate"])
        beta = make_beta(config, scalar(config, config.beta))
        return Parts(config, dataset, protocol, vae, streams, family, values, family(values), batches, rate, beta)

    return list(map(parts, configs))


def make_data(config: TrainConfig) -> tuple[Dataset, Binarisation]:
    """The run's images under its protocol, with its validation split, on its device.

    Raises:
        DataError: the images cannot be had.
        ConfigError: they are too few for the settings.
    """
    binarise_key, split_key = random.split(random.key(DATA_SEED))
    protocol = binarisation(config.binarise)
    dataset = load(config.data)
    _check_sizes(config, len(dataset.train.images))
    dataset = hold_out(protocol.prepare(dataset, binarise_key), config.held_out, split_key)
    return to_device(dataset, config.device), protocol


def checksum(dataset: Dataset) -> int:
    """CRC-32 of all images, as the model sees them."""
    value = 0
    for split in dataset[:3]:
        if split is not None:
            value = zlib.crc32(split.images.cpu().contiguous().numpy().data, value)
    return value


def make_model(config: TrainConfig, shape: Shape) -> VAE:
    """The model of the run's kind of latents, at its widths, for images of a shape."""
    pixels, between = math.prod(shape), (config.hidden, config.hidden) if config.hidden else ()
    match config.latent_family:
        case "normal":
            return models.tutorial(config.latents, config.hidden, pixels)
        case "bernoulli":
            return models.bernoulli_latents(config.latents, between, pixels)
        case "bernoulli-2":
            return models.layered_bernoulli_latents((config.latents, config.latents), between, pixels)
        case "categorical":
            return models.categorical_latents(config.latents, config.classes, between, pixels)


def as_trained(config: TrainConfig, vae: VAE) -> VAE:
    """The model as the run's steps compute it: with its networks in the run's precision."""
    return models.bfloat16_trunk(vae) if config.precision == "bfloat16" else vae


def make_streams(config: TrainConfig) -> Streams:
    """The run's named keys, on its device."""
    return random.streams(random.key(config.key, config.device))


def make_family(config: TrainConfig, vae: VAE, protocol: Binarisation, steps: int) -> Family:
    """The training algorithm of runs of so many steps, as a function of their `make_values`.

    Raises:
        ConfigError: as `make_learning_rate`, from the family.
    """

    def family(values: Tree) -> Algorithm:
        rate = make_learning_rate(config, steps, values["learning_rate"])
        beta = make_beta(config, values["beta"]) if "beta" in values else None
        return make_algorithm(config, vae, protocol, rate, beta)

    return family


def make_algorithm(
    config: TrainConfig, vae: VAE, protocol: Binarisation, learning_rate: Schedule, beta: Schedule | None
) -> Algorithm:
    """The training algorithm of a run; None is a weight of the KL that is the number 1."""
    entry = CATALOGUE[config.estimator]
    algorithm = make_step(
        as_trained(config, vae),
        pose_of(config),
        entry.make(),
        _optimizer(config, learning_rate),
        binarisation=protocol,
        samples=config.samples,
        beta=beta,
        clip_norm=config.clip_norm or float("inf"),
        microbatch=config.microbatch or None,
    )
    return skip_nonfinite(algorithm) if config.skip_nonfinite else algorithm


def pose_of(config: TrainConfig) -> Pose:
    """The problem that a run's estimator is given: with the KL in closed form where both go with one."""
    if config.free_bits:
        return _with_free_bits(config.free_bits)
    layered = config.latent_family == "bernoulli-2"
    closed = CATALOGUE[config.estimator].closed_kl and not layered
    return gradients.elbo_problem if closed else gradients.elbo_sampled_problem


def check_estimator(config: TrainConfig, algorithm: Algorithm, pixels: int) -> None:
    """Ask the estimator for its noise.

    Raises:
        ConfigError: it does not take the model.
    """
    try:
        algorithm.noise_like(Batch(torch.zeros(1, pixels)))
    except ValueError as refusal:
        raise ConfigError(f"--estimator {config.estimator} does not go with this model: {refusal}") from refusal


def _with_free_bits(free_bits: float) -> Pose:
    return lambda vae, x, context, beta: gradients.elbo_problem(vae, x, context, beta, free_bits)


def _check_sizes(config: TrainConfig, images: int) -> None:
    if config.held_out >= images:
        raise ConfigError(
            f"--held-out must leave a training image of the {images} that {config.data} has: "
            f"use --held-out {images // 12} or another number below {images}"
        )
    if config.batch_size > images - config.held_out:
        raise ConfigError(
            f"--batch-size {config.batch_size} is larger than the training set: use at most {images - config.held_out}"
        )


def _optimizer(config: TrainConfig, learning_rate: Schedule) -> optimizers.Optimizer:
    if config.optimizer == "sgd":
        return optimizers.sgd(learning_rate, weight_decay=config.weight_decay)
    family = {"adam": optimizers.adam, "adamw": optimizers.adamw}[config.optimizer]
    return family(learning_rate, weight_decay=config.weight_decay)
