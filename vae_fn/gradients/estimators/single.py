"""Estimators of bounds that are a mean over independent samples: pathwise, sticking the landing, score function.

With log w = f + beta (log p - log q), the objective is E[log w]; its gradient pulls the joint and the path by 1/K. The
density's own gradient has mean zero: pathwise keeps it, sticking the landing drops it, the score function uses nothing
else to reach q.
"""

import torch
from torch import Tensor

from vae_fn.gradients.coefficients import from_coefficients
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.wires import Coefficients
from vae_fn.models.objectives import PerSample


def _mean(log_weights: PerSample) -> Tensor:
    return torch.full_like(log_weights, 1 / log_weights.shape[0])


def pathwise_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """1/K, 1, -beta/K: differentiate the sampled objective as it stands."""
    share = _mean(log_weights)
    return Coefficients(log_weights.mean(0), share, torch.ones_like(share), -beta * share)


def sticking_the_landing_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """1/K, 1, 0: hold q's parameters in log q; each draw's gradient is zero where q is the exact posterior."""
    share = _mean(log_weights)
    return Coefficients(log_weights.mean(0), share, torch.ones_like(share), torch.zeros_like(share))


def rloo_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """1/K, 0, (w_k - mean w) / (K - 1) - beta/K: each sample's baseline is the mean of the others."""
    share = _mean(log_weights)
    centred = (log_weights - log_weights.mean(0)) / (log_weights.shape[0] - 1)
    return Coefficients(log_weights.mean(0), share, torch.zeros_like(share), centred - beta * share)


def pathwise() -> Estimator:
    """The reparameterised gradient (Kingma & Welling 2013; Rezende et al. 2014)."""
    return from_coefficients("pathwise", pathwise_rule, unbiased_for="the ELBO")


def sticking_the_landing() -> Estimator:
    """The path derivative alone (Roeder et al. 2017, eq. 7); for problems with a sampled KL."""
    return from_coefficients("stl", sticking_the_landing_rule, unbiased_for="the ELBO")


def rloo() -> Estimator:
    """REINFORCE with the leave-one-out baseline (Williams 1992; Kool et al. 2019); needs two samples or more."""
    return from_coefficients("rloo", rloo_rule, unbiased_for="the ELBO", min_samples=2, latents="any")
