"""Estimators of the K-sample bound log (1/K) sum_k w_k (Burda et al. 2015), with w~ the normalised weights.

The bound's gradient pulls the joint by w~. DReG turns the density's part into a path; VIMCO reaches q by scores alone;
the wake phase follows another target for q.
"""

import math

import torch
from torch import Tensor

from vae_fn.gradients.coefficients import from_coefficients
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.problem import Problem, check_sampled
from vae_fn.gradients.wires import Coefficients
from vae_fn.models.objectives import PerSample, log_mean_exp


def iwae_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """w~, 1, -beta w~: differentiate the bound as it stands."""
    weights = torch.softmax(log_weights, 0)
    return Coefficients(log_mean_exp(log_weights), weights, torch.ones_like(weights), -beta * weights)


def dreg_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """w~, 1 - beta (1 - w~), 0: at beta = 1 the path is pulled by w~ squared in all."""
    weights = torch.softmax(log_weights, 0)
    path = 1 - beta * (1 - weights)
    return Coefficients(log_mean_exp(log_weights), weights, path, torch.zeros_like(weights))


def stl_iwae_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """w~, 1, 0: hold q's parameters in log q, whose part has no mean zero here."""
    return iwae_rule(log_weights, beta)._replace(density=torch.zeros_like(log_weights))


def vimco_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """w~, 0, (bound - bound without k) - beta w~: each sample's own leave-one-out learning signal."""
    weights, bound = torch.softmax(log_weights, 0), log_mean_exp(log_weights)
    signal = bound - leave_one_out_bound(log_weights)
    return Coefficients(bound, weights, torch.zeros_like(weights), signal - beta * weights)


def wake_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """w~, 0, w~: the decoder climbs the bound, q climbs E_{p(z|x)} log q with self-normalised weights."""
    weights = torch.softmax(log_weights, 0)
    return Coefficients(log_mean_exp(log_weights), weights, torch.zeros_like(weights), weights)


def leave_one_out_bound(log_weights: PerSample) -> PerSample:
    """The bound with w_k replaced by the geometric mean of the others (Mnih & Rezende 2016, eq. 8); O(K**2) memory."""
    count = log_weights.shape[0]
    others = (log_weights.sum(0) - log_weights) / (count - 1)
    own = torch.eye(count, dtype=torch.bool, device=log_weights.device)
    own = own.reshape(count, count, *(1,) * (log_weights.ndim - 1))
    replaced = torch.where(own, others.unsqueeze(0), log_weights.unsqueeze(0))
    return torch.logsumexp(replaced, 1) - math.log(count)


def check_importance(problem: Problem) -> None:
    """Refuse a problem whose log-weights are not log p(x, z) - log q(z | x).

    Raises:
        ValueError: its KL is exact, or beta is not the number 1.
    """
    check_sampled(problem)
    if isinstance(problem.beta, Tensor) or problem.beta != 1:
        raise ValueError("this estimator needs importance weights p(x, z) / q(z | x): set beta to the number 1")


def iwae() -> Estimator:
    """The gradient of the K-sample bound (Burda et al. 2015, eq. 13)."""
    return from_coefficients("iwae", iwae_rule, unbiased_for="the K-sample bound")


def dreg() -> Estimator:
    """The doubly reparameterised gradient of the K-sample bound (Tucker et al. 2018, eq. 8)."""
    return from_coefficients("dreg", dreg_rule, unbiased_for="the K-sample bound")


def stl_iwae(unbiased_for: str = "nothing") -> Estimator:
    """Sticking the landing in the K-sample bound: biased (Roeder et al. 2017, section 4; Tucker et al. 2018).

    Args:
        unbiased_for: nothing else can be claimed.

    Raises:
        ValueError: it is claimed to be unbiased for something.
    """
    if unbiased_for != "nothing":
        raise ValueError(
            f"stl-iwae is not unbiased for {unbiased_for}: the part of the gradient that it leaves out has mean zero "
            "for one sample only; use dreg, which makes a path of that part"
        )
    reason = "nothing: what it leaves out, E sum w~_k dlog q(z_k), is not zero beyond one sample"
    return from_coefficients(
        "stl-iwae", stl_iwae_rule, unbiased_for=reason, importance_weighted=True, check=check_sampled
    )


def vimco() -> Estimator:
    """The leave-one-out score gradient of the K-sample bound (Mnih & Rezende 2016); needs two samples or more."""
    return from_coefficients("vimco", vimco_rule, unbiased_for="the K-sample bound", min_samples=2, latents="any")


def wake() -> Estimator:
    """Reweighted wake-sleep with the wake phase for q (Bornschein & Bengio 2015; Le et al. 2019)."""
    follows = "E_{p(z|x)} log q, with a bias at finite K from the self-normalised weights"
    return from_coefficients(
        "rws",
        wake_rule,
        unbiased_for="the K-sample bound",
        q_follows=follows,
        latents="any",
        check=check_importance,
    )
