"""From settings to the parts of a run: data, model, algorithm. Training and evaluation build them here alike."""

from collections.abc import Callable

import torch

from vae_fn import gradients, models, random, tree
from vae_fn.data import Binarisation, Dataset, binarisation, hold_out, load_mnist
from vae_fn.gradients import Estimator, estimators
from vae_fn.models import VAE
from vae_fn.random import Streams
from vae_fn.run.config import ConfigError, TrainConfig
from vae_fn.training import optimizers, schedules
from vae_fn.training.step import Algorithm, Pose, make_step

DATA_SEED = 2**64 - 1
"""The stated key of what belongs to the data and not to a run: the fixed binarisation and the validation split."""


def make_data(config: TrainConfig) -> tuple[Dataset, Binarisation]:
    """MNIST under the run's protocol, with its validation split, on its device."""
    binarise_key, split_key = random.split(random.key(DATA_SEED))
    protocol = binarisation(config.binarise)
    dataset = hold_out(protocol.prepare(load_mnist(), binarise_key), config.held_out, split_key)
    return tree.map(lambda leaf: leaf.to(config.device), dataset), protocol


def make_model(config: TrainConfig) -> VAE:
    """The tutorial's model at the run's widths."""
    return models.tutorial(config.latents, config.hidden)


def make_streams(config: TrainConfig) -> Streams:
    """The run's named keys, on its device."""
    return random.streams(random.key(config.key, config.device))


def make_algorithm(config: TrainConfig, vae: VAE, protocol: Binarisation, steps: int) -> Algorithm:
    """The training algorithm of a run of so many steps."""
    pose, estimator = POSED[config.estimator]
    if config.free_bits:
        pose = _with_free_bits(config.free_bits)
    return make_step(
        vae,
        pose,
        estimator(),
        _optimizer(config, steps),
        binarisation=protocol,
        samples=config.samples,
        beta=_beta(config),
        clip_norm=config.clip_norm or float("inf"),
    )


def check_device(config: TrainConfig) -> None:
    """Touch the device, before anything is written.

    Raises:
        ConfigError: torch cannot use it.
    """
    try:
        torch.zeros(1, device=config.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device {config.device!r} cannot be used here ({reason}): use another --device, such as cpu"
        ) from error


POSED: dict[str, tuple[Pose, Callable[[], Estimator]]] = {
    "pathwise": (gradients.elbo_problem, estimators.pathwise),
    "pathwise-sampled": (gradients.elbo_sampled_problem, estimators.pathwise),
    "stl": (gradients.elbo_sampled_problem, estimators.sticking_the_landing),
    "score": (gradients.elbo_problem, estimators.score_function),
    "iwae": (gradients.elbo_sampled_problem, estimators.iwae),
    "dreg": (gradients.elbo_sampled_problem, estimators.dreg),
    "vimco": (gradients.elbo_sampled_problem, estimators.vimco),
    "rws": (gradients.elbo_sampled_problem, estimators.wake),
}
"""The problem that each estimator of the command line is trained on."""


def _with_free_bits(free_bits: float) -> Pose:
    return lambda vae, x, context, beta: gradients.elbo_problem(vae, x, context, beta, free_bits)


def _beta(config: TrainConfig) -> schedules.Schedule | None:
    if config.beta == 1 and not config.kl_warmup:
        return None
    return schedules.linear_warmup(_scalar(config, config.beta), config.kl_warmup)


def _learning_rate(config: TrainConfig, steps: int) -> schedules.Schedule:
    rate = _scalar(config, config.learning_rate)
    if config.schedule == "constant":
        return schedules.constant(rate)
    if config.warmup_steps >= steps:
        raise ConfigError(
            f"warmup_steps {config.warmup_steps} leaves nothing of the run's {steps} steps: "
            "use fewer --warmup-steps or more --epochs"
        )
    return schedules.warmup_cosine(rate, config.warmup_steps, steps)


def _optimizer(config: TrainConfig, steps: int) -> optimizers.Optimizer:
    schedule = _learning_rate(config, steps)
    if config.optimizer == "sgd":
        return optimizers.sgd(schedule, weight_decay=config.weight_decay)
    family = {"adam": optimizers.adam, "adamw": optimizers.adamw}[config.optimizer]
    return family(schedule, weight_decay=config.weight_decay)


def _scalar(config: TrainConfig, value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, device=config.device)
