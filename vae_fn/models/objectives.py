"""Objectives of a VAE: what training raises, per example, in nats, split in its terms.

All take noise for the posterior with the samples in front, `(k, *batch, *event)`, and reduce samples and event,
never the batch. Here are the formulas; the gradient problems are built of the same functions.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import Distribution, kl, kl_by_dimension
from vae_fn.models.vae import VAE
from vae_fn.types import Context, Params, Tree

PerExample = Float[Tensor, "*b"]
PerSample = Float[Tensor, "k *b"]


class Forward(NamedTuple):
    """One pass through a VAE: `z` and `log_likelihood` have the samples in front."""

    posterior: Distribution
    prior: Distribution
    z: Tree
    likelihood: Distribution
    log_likelihood: PerSample


class Terms(NamedTuple):
    """An objective and what it is made of, each `(*batch)`, in nats.

    `objective` is raised by training; `elbo = reconstruction - kl` is the bound itself, whatever beta and free bits;
    `reconstruction` is E_q log p(x | z).
    """

    objective: PerExample
    elbo: PerExample
    reconstruction: PerExample
    kl: PerExample


def forward(vae: VAE, params: Params, x: Float[Tensor, "*b d"], noise: Tree, context: Context = None) -> Forward:
    """Encode, sample, decode: everything that the tutorial's model returns, without reducing anything."""
    posterior = vae.posterior(params, x, context)
    z = posterior.sample(noise)
    likelihood = vae.likelihood(params, z, context)
    return Forward(posterior, vae.prior(params, context), z, likelihood, likelihood.log_prob(x))


def elbo(
    vae: VAE,
    params: Params,
    x: Float[Tensor, "*b d"],
    noise: Tree,
    *,
    context: Context = None,
    beta: float | Float[Tensor, ""] = 1.0,
    free_bits: float = 0.0,
) -> Terms:
    """E_q log p(x | z) - KL(q(z | x) || p(z)), the KL in closed form (Kingma & Welling 2013, eq. 10).

    Args:
        vae: the model.
        params: its parameters.
        x: data in [0, 1].
        noise: for the posterior, k samples in front.
        context: what the model is conditioned on.
        beta: weight of the KL (Higgins et al. 2017); a 0-d tensor lets a warm-up change it without a new graph.
        free_bits: nats per latent dimension that cost no more when fewer are used; see `penalty`.

    Raises:
        NoClosedFormError: KL(posterior || prior) has no closed form; use `elbo_sampled`.
    """
    run = forward(vae, params, x, noise, context)
    reconstruction = run.log_likelihood.mean(0)
    divergence = kl(run.posterior, run.prior)
    objective = reconstruction - penalty(run.posterior, run.prior, beta, free_bits)
    return Terms(objective, reconstruction - divergence, reconstruction, divergence)


def elbo_sampled(
    vae: VAE,
    params: Params,
    x: Float[Tensor, "*b d"],
    noise: Tree,
    *,
    context: Context = None,
    beta: float | Float[Tensor, ""] = 1.0,
) -> Terms:
    """E_q[log p(x | z) + log p(z) - log q(z | x)], the KL from the same samples: for any posterior and prior."""
    run = forward(vae, params, x, noise, context)
    reconstruction, divergence = run.log_likelihood.mean(0), _log_ratio(run, noise).mean(0)
    return Terms(reconstruction - beta * divergence, reconstruction - divergence, reconstruction, divergence)


def iwae(
    vae: VAE,
    params: Params,
    x: Float[Tensor, "*b d"],
    noise: Tree,
    *,
    context: Context = None,
) -> Terms:
    """E log (1/k) sum_j w_j with log w = log p(x | z) + log p(z) - log q(z | x) (Burda et al. 2015, eq. 8).

    The bound is `objective`; the other terms are those of the sampled ELBO at the same noise. It means something
    where p(x | z) is a density or a mass: at grey values a Bernoulli's is none, and w no importance weight.
    """
    run = forward(vae, params, x, noise, context)
    log_ratio = _log_ratio(run, noise)
    bound = log_mean_exp(run.log_likelihood - log_ratio)
    reconstruction, divergence = run.log_likelihood.mean(0), log_ratio.mean(0)
    return Terms(bound, reconstruction - divergence, reconstruction, divergence)


def penalty(
    posterior: Distribution, prior: Distribution, beta: float | Float[Tensor, ""] = 1.0, free_bits: float = 0.0
) -> PerExample:
    """What the objective takes off, beta * sum_d max(free_bits, KL_d), in nats.

    Free bits follow Kingma et al. 2016 (appendix C.8) with each latent dimension of each example as its own group: a
    mean over the minibatch would tie the examples together.

    Raises:
        NoClosedFormError: no closed form, or none by dimension while `free_bits` is not zero.
        ValueError: `free_bits` is negative.
    """
    if free_bits < 0:
        raise ValueError(f"free_bits are nats per dimension that cost nothing, 0 or more, got {free_bits}")
    if free_bits == 0:
        return beta * kl(posterior, prior)
    return beta * kl_by_dimension(posterior, prior).clamp(min=free_bits).sum(-1)


def log_mean_exp(log_weights: PerSample) -> PerExample:
    """The logarithm of the mean of exp(log_weights) over the samples in front."""
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def _log_ratio(run: Forward, noise: Tree) -> PerSample:
    return run.posterior.log_prob_from_noise(noise, run.z) - run.prior.log_prob(run.z)
