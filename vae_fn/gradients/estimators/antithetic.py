"""Antithetic pairs: every draw of noise e is used with its mirror image -e (Hammersley & Morton 1956)."""

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Distribution
from vae_fn.gradients.estimator import Estimator, stateless
from vae_fn.gradients.estimators.single import pathwise_rule
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Pulled, pull
from vae_fn.types import Params, Tree

SYMMETRIC = (random.normal, random.laplace, random.logistic)
"""The laws under which -e is as e."""


def antithetic() -> Estimator:
    """The pathwise gradient over pairs of mirrored samples; K is even (Wu et al. 2019).

    What is odd in the noise drops out: the gradient in the location of a linear cost has no variance. K samples are
    made of K/2 draws.
    """
    paired = stateless(
        "antithetic", pull_mirrored, unbiased_for="the ELBO", latents="continuous", noise_like=_noise_like
    )
    return paired._replace(min_samples=2)


def pull_mirrored(problem: Problem, params: Params, noise: Tree) -> Pulled:
    """Value and pathwise gradient of the ELBO at the noise and at its mirror image."""
    return pull(problem, params, tree.map(_mirrored, noise), pathwise_rule)


def _mirrored(noise: Tensor) -> Tensor:
    return torch.cat([noise, -noise])


def _noise_like(q: Distribution, samples: int) -> Tree:
    if samples % 2:
        raise ValueError(f"antithetic samples come in pairs e and -e: it needs an even number of them, not {samples}")
    specs = q.noise_like((samples // 2,))
    for spec in tree.leaves(specs):
        if spec.law not in SYMMETRIC:
            raise ValueError(
                f"antithetic mirrors noise around 0, and {spec.law.__name__} is not symmetric: use pathwise"
            )
    return specs
