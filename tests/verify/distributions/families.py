"""Families of other people's making, with what the protocol asks for and nothing more, and one that lacks it."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_fn import random
from vae_fn.random import Noise


class Exponential(NamedTuple):
    """Independent coordinates with P(x_i > t) = exp(-rate_i t) for t > 0; no `noise_of`, no `to_torch`."""

    rate: Tensor

    event_ndim = 1

    @property
    def mean(self) -> Tensor:
        return 1 / self.rate

    def noise_like(self, sample_shape: tuple[int, ...] = ()) -> Noise:
        return Noise(random.uniform, (*sample_shape, *self.rate.shape))

    def sample(self, noise: Tensor) -> Tensor:
        return -torch.log(noise) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.where(value > 0, self.rate.log() - self.rate * value, -torch.inf).sum(-1)

    def log_prob_from_noise(self, noise: Tensor, value: Tensor) -> Tensor:
        del noise
        return self.log_prob(value)

    def to_torch(self) -> torch.distributions.Distribution:
        raise NotImplementedError


class LogNormal(NamedTuple):
    """exp of a normal; its logarithm is not defined below 0."""

    loc: Tensor
    log_scale: Tensor

    event_ndim = 1

    @property
    def mean(self) -> Tensor:
        return torch.exp(self.loc + 0.5 * torch.exp(2 * self.log_scale))

    def noise_like(self, sample_shape: tuple[int, ...] = ()) -> Noise:
        return Noise(random.normal, (*sample_shape, *self.loc.shape))

    def sample(self, noise: Tensor) -> Tensor:
        return torch.exp(self.loc + torch.exp(self.log_scale) * noise)

    def noise_of(self, value: Tensor) -> Tensor:
        return (value.log() - self.loc) * torch.exp(-self.log_scale)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._density(self.noise_of(value), value)

    def log_prob_from_noise(self, noise: Tensor, value: Tensor) -> Tensor:
        moved = self.noise_of(value)
        return self._density(moved + (noise - moved).detach(), value)

    def to_torch(self) -> torch.distributions.Distribution:
        one = torch.distributions.LogNormal(self.loc, torch.exp(self.log_scale))
        return torch.distributions.Independent(one, 1)

    def _density(self, residual: Tensor, value: Tensor) -> Tensor:
        return (-0.5 * residual**2 - self.log_scale - value.log() - 0.9189385332046727).sum(-1)


class Banana(NamedTuple):
    """Two coordinates, the second a normal about the square of the first, scaled: neither independent nor normal."""

    bend: Tensor

    event_ndim = 1

    @property
    def mean(self) -> Tensor:
        return torch.stack([torch.zeros_like(self.bend), self.bend], -1)

    def noise_like(self, sample_shape: tuple[int, ...] = ()) -> Noise:
        return Noise(random.normal, (*sample_shape, *self.bend.shape, 2))

    def sample(self, noise: Tensor) -> Tensor:
        return torch.stack([noise[..., 0], self.bend * noise[..., 0] ** 2 + 0.5 * noise[..., 1]], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        one, two = value.unbind(-1)
        return -0.5 * one**2 - 2 * (two - self.bend * one**2) ** 2 - 1.8378770664093453 + 0.6931471805599453

    def log_prob_from_noise(self, noise: Tensor, value: Tensor) -> Tensor:
        del noise
        return self.log_prob(value)

    def to_torch(self) -> torch.distributions.Distribution:
        raise NotImplementedError


class Die(NamedTuple):
    """Independent numbers 0, 1, ... with given log weights `(*batch, d, faces)`; it does not tell its states."""

    weights: Tensor

    event_ndim = 1

    @property
    def mean(self) -> Tensor:
        return (torch.softmax(self.weights, -1) * torch.arange(self.weights.shape[-1])).sum(-1)

    def noise_like(self, sample_shape: tuple[int, ...] = ()) -> Noise:
        return Noise(random.uniform, (*sample_shape, *self.weights.shape[:-1]))

    def sample(self, noise: Tensor) -> Tensor:
        below = torch.softmax(self.weights, -1).cumsum(-1)[..., :-1]
        return (noise.unsqueeze(-1) > below).sum(-1).to(noise.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        face = value.unsqueeze(-1) == torch.arange(self.weights.shape[-1])
        return (face * torch.log_softmax(self.weights, -1)).sum((-2, -1))

    def log_prob_from_noise(self, noise: Tensor, value: Tensor) -> Tensor:
        del noise
        return self.log_prob(value)

    def to_torch(self) -> torch.distributions.Distribution:
        raise NotImplementedError
