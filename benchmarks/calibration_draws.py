"""Gradient draws of known mean and variance: a five-parameter VAE with one normal latent and a Bernoulli decoder.

A draw is the gradient of the mean objective over three data, each with noise of its own.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, Normal, positive
from vae_fn.gradients import Estimator, Problem, elbo_sampled_problem
from vae_fn.gradients.estimators import dreg, iwae, pathwise, rloo
from vae_fn.gradients.oracles.moments import moments
from vae_fn.models import VAE
from vae_fn.models.priors import standard_normal
from vae_fn.random import Noise
from vae_fn.types import Key
from vae_fn.verify import draws_of
from vae_fn.verify.sample import Draw

DATA = torch.tensor([[1.0], [0.0], [1.0]])
SIZE = 5
"""Parameters."""

VALUES = {"encoder": torch.tensor([1.5, -1.0, 0.05]), "decoder": torch.tensor([1.0, 2.5])}
"""Slope, location and raw scale of q; slope and bias of the logit. Scores have a kurtosis of 34 here."""

Pose = Callable[[VAE, Tensor], Problem]
Gradient = Callable[[Tensor, Tensor], Tensor]
"""`gradient(x, noise)` of data `(b, 1)` at noise `(k, b, 1)`, as one vector."""


def _posterior(params, x, context):
    slope, loc, raw = params["encoder"]
    return Normal(slope * (x - 0.5) + loc, positive(raw).expand(x.shape))


VAE_OF_FIVE = VAE(
    init=lambda key: VALUES,
    posterior=_posterior,
    prior=lambda params, context: standard_normal(1, like=params["encoder"]),
    likelihood=lambda params, z, context: Bernoulli(params["decoder"][0] * z + params["decoder"][1]),
)


def gradient_of(estimator: Estimator, pose: Pose = elbo_sampled_problem) -> Gradient:
    """An estimator's gradient of the mean over the data, in the dtype of the noise."""

    def gradient(x: Tensor, noise: Tensor) -> Tensor:
        params = tree.map(lambda leaf: leaf.to(noise.dtype), VALUES)
        grads = estimator.estimate(pose(VAE_OF_FIVE, x.to(noise.dtype)), params, noise, ()).grads
        return torch.cat([grads["encoder"], grads["decoder"]]) / len(x)

    return gradient


class Subject(NamedTuple):
    """A black box whose mean and variance are integrated."""

    name: str
    draw: Draw
    mean: Tensor
    variance: Tensor


def black_box(gradient: Gradient, samples: int) -> Draw:
    """Draws of a gradient, in float32."""
    return draws_of(lambda noise: gradient(DATA, noise), Noise(random.normal, (samples, len(DATA), 1)))


def integrate(gradient: Gradient, samples: int, order: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean and variance of a draw: the data are independent, so each is integrated alone."""
    each = [
        moments(lambda noise, x=x: gradient(x, noise), Noise(random.normal, (samples, 1, 1)), order=order)
        for x in DATA.split(1)
    ]
    count = len(each)
    return sum(m.mean for m in each) / count, sum(m.variance for m in each) / count**2


def subjects() -> list[Subject]:
    """The five estimators; the mean of the scores is the ELBO's gradient, integrated at one sample."""
    cases = {
        "pathwise": (pathwise(), 1),
        "score, K = 4": (rloo(), 4),
        "score, K = 2": (rloo(), 2),
        "IWAE, K = 2": (iwae(), 2),
        "DReG, K = 2": (dreg(), 2),
    }
    elbo, _ = integrate(gradient_of(pathwise()), 1)
    found = []
    for name, (estimator, samples) in cases.items():
        gradient = gradient_of(estimator)
        mean, variance = integrate(gradient, samples, order=7 if samples == 4 else None)  # 16**4 nodes
        exact = elbo if estimator.unbiased_for == "the ELBO" else mean
        if not torch.allclose(mean, exact, rtol=0, atol=1e-4 if samples == 4 else 1e-9):
            raise AssertionError(f"{name} is biased: {mean} instead of {exact}")
        found.append(Subject(name, black_box(gradient, samples), exact, variance))
    return found


class Run:
    """A black box that serves the rows of a block first, and fresh draws after them."""

    def __init__(self, block: Tensor, further: Draw | None = None, key: Key | None = None):
        self.block, self.further, self.key = block, further, key
        self.restart()

    def restart(self) -> "Run":
        """Begin again, for another procedure on the same draws."""
        self.served, self.calls = 0, 0
        return self

    def __call__(self, key: Key, count: int) -> Tensor:
        """The next `count` draws, whatever the key."""
        start, self.served = self.served, self.served + count
        rows = self.block[start : self.served]
        missing = count - len(rows)
        if not missing:
            return rows
        assert self.further is not None
        assert self.key is not None
        self.calls += 1
        return torch.cat([rows, self.further(random.fold_in(self.key, self.calls), missing)])


def weights_box(variance: float) -> Draw:
    """Importance weights N(0, 1) / N(0, variance) at draws of the latter; their mean is 1."""

    def draw(key: Key, count: int) -> Tensor:
        z = math.sqrt(variance) * random.normal(key, (count,), torch.float64)
        return math.sqrt(variance) * torch.exp(0.5 * z**2 * (1 / variance - 1))

    return draw


def weights_variance(variance: float) -> float | None:
    """Of such a weight; None where it is infinite, for 1/2 and below."""
    return None if variance <= 0.5 else math.sqrt(variance / (2 - 1 / variance)) - 1
