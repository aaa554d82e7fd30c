"""How far the latents of a data set are from the prior N(0, 1), dimension by dimension."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float


class Deviation(NamedTuple):
    """A latent, counted from 0, beside N(0, 1), whose mean is 0, variance 1 and Kolmogorov-Smirnov distance 0."""

    dimension: int
    ks: float
    mean: float
    variance: float


def deviation_from_prior(z: Float[np.ndarray, "n d"]) -> list[Deviation]:
    """One row per dimension of n latents; the variance is that of the n numbers, divided by n."""
    columns = z.T.astype(np.float64)
    return [Deviation(i, ks_distance(x), float(x.mean()), float(x.var())) for i, x in enumerate(columns)]


def ks_distance(values: Float[np.ndarray, " n"]) -> float:
    """The Kolmogorov-Smirnov distance sup |F_n - Phi| between the values and N(0, 1), in [0, 1].

    F_n jumps at each value, so the supremum is taken over both sides of each jump.

    Raises:
        ValueError: There are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the Kolmogorov-Smirnov distance needs at least one value")
    phi = normal_cdf(np.sort(values.astype(np.float64)))
    steps = np.arange(n + 1) / n
    return float(np.maximum(steps[1:] - phi, phi - steps[:-1]).max())


def normal_cdf(x: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
    """Phi, the distribution function of N(0, 1)."""
    return 0.5 * torch.special.erfc(torch.from_numpy(-x / math.sqrt(2))).numpy()


def normal_quantile(p: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
    """The inverse of Phi."""
    return torch.special.ndtri(torch.from_numpy(p)).numpy()


def normal_density(x: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
    """The density of N(0, 1)."""
    return np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
