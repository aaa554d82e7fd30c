"""The settings that enter a compiled step as tensors: others of them compile nothing anew."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.optimization import schedules
from vae_fn.optimization.schedules import Schedule
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig
from vae_fn.words import counted


def make_values(config: TrainConfig) -> dict[str, Tensor]:
    """What the family of a run takes, as 0-d tensors on its device; a weight of the KL only where there is one."""
    values = {"learning_rate": scalar(config, config.learning_rate)}
    return values | ({"beta": scalar(config, config.beta)} if is_weighted(config) else {})


def is_weighted(config: TrainConfig) -> bool:
    """Whether the weight of the KL is anything but the number 1."""
    return config.beta != 1 or config.kl_warmup > 0


def make_learning_rate(config: TrainConfig, steps: int, value: Tensor) -> Schedule:
    """The learning rate of a training of so many steps, as a function of the steps before; `value` is its peak.

    Raises:
        ConfigError: its warm-up is as long as the training.
    """
    if config.schedule == "constant":
        return schedules.constant(value)
    if config.warmup_steps >= steps:
        raise ConfigError(
            f"--warmup-steps {config.warmup_steps} leaves nothing of the run's {counted(steps, 'step')}: "
            "use fewer --warmup-steps or more --epochs"
        )
    return schedules.warmup_cosine(value, config.warmup_steps, steps, final=torch.zeros_like(value))


def make_beta(config: TrainConfig, value: Tensor) -> Schedule:
    """The weight of the KL as a function of the steps before; `value` is its last one."""
    return schedules.linear_warmup(value, config.kl_warmup)


def scalar(config: TrainConfig, value: float) -> Float[Tensor, ""]:
    """A number on the run's device."""
    return torch.tensor(value, dtype=torch.float64, device=config.device)
