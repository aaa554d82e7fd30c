"""Gumbel-Rao: straight-through Gumbel-softmax, averaged over the noise that gives the same sample (Paulus et al. 2021).

Given the sample b, perturbed logits z_1, ..., z_m are drawn anew; as what the logits theta are perturbed by,
G_j = z_j - theta, they are held:

    z = b + s - held s,    s = 1/m sum_j relaxed(theta + G_j).

The mean is that of straight-through Gumbel-softmax at the same temperature, and the variance is not larger, for no more
evaluations of f. Differentiated through G_j, the mean is another one.
"""

from typing import Any

import torch
from torch import Tensor

from vae_fn.distributions import Distribution
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators.concrete import check_temperature
from vae_fn.gradients.estimators.layering import as_noise
from vae_fn.gradients.estimators.straight_through import from_passed, passed
from vae_fn.types import Tree


def gumbel_rao(temperature: float = 0.5, draws: int = 10) -> Estimator:
    """Gumbel-Rao for bits and one-hot classes, in one layer or several (Paulus et al. 2021); biased.

    Args:
        temperature: of the relaxation.
        draws: m, of the perturbed logits given a sample.

    Raises:
        ValueError: the temperature is not positive, or there are no draws.
    """
    check_temperature(temperature)
    if draws < 1:
        raise ValueError(f"gumbel-rao averages over 1 draw or more, not {draws}")

    def z(live: Distribution, held: Distribution, noise: Tree) -> Tree:
        given = [as_noise(held, each) for each in noise["given"]]

        def smooth(index: int, family: Any, held: Any, b: Tensor) -> Tensor:
            by = [held.perturb_given(b, each[index]) - held.logits for each in given]
            return torch.stack([family.relax(family.logits + g, temperature) for g in by]).mean(0)

        return passed(live, held, noise["value"], smooth)

    def noise_like(q: Distribution, samples: int) -> Tree:
        each = q.noise_like((samples,))
        return {"value": each, "given": (each,) * draws}

    return from_passed("gumbel-rao", z, noise_like=noise_like)
