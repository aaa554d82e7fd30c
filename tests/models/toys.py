"""Small models with known answers, their oracles, and what fills them: shared by the tests of models and gradients."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, Normal, positive
from vae_fn.models import VAE, Network, build, heads, mlp
from vae_fn.types import Params


@functools.cache
def small_vae(data: int = 3, latents: int = 2, hidden: int = 3, posterior=heads.normal, likelihood=heads.bernoulli):
    """Two perceptrons with one smooth hidden layer each."""
    encoder = mlp([data, hidden, posterior.width(latents)], nn.Tanh)
    decoder = mlp([latents, hidden, likelihood.width(data)], nn.Tanh)
    return build(encoder, decoder, data_dim=data, latent_dim=latents, posterior=posterior, likelihood=likelihood)


def learned_prior(vae: VAE, latents: int) -> VAE:
    """A normal prior with parameters, mostly wider than the posteriors: importance weights keep light tails."""

    def init(key):
        loc, raw = (0.5 * random.normal(random.fold_in(key, i), (latents,)) for i in (2, 3))
        return {**vae.init(key), "prior": {"loc": loc, "raw": 1.5 + raw}}

    return vae._replace(
        init=init, prior=lambda params, c: Normal(params["prior"]["loc"], positive(params["prior"]["raw"]))
    )


@functools.cache
def bernoulli_vae(data: int, latents: int, learned: bool) -> VAE:
    """Bits as latents; their prior is fair or learned."""
    vae = small_vae(data, latents, posterior=heads.bernoulli)

    def init(key):
        return {**vae.init(key), "prior": {"logits": random.normal(random.fold_in(key, 2), (latents,))}}

    if learned:
        return vae._replace(init=init, prior=lambda params, c: Bernoulli(params["prior"]["logits"]))
    return vae._replace(prior=lambda params, c: Bernoulli(torch.zeros(latents, dtype=torch.float64)))


def constants(data: int, latents: int, posterior=heads.normal, likelihood=heads.bernoulli) -> VAE:
    """Both networks return `params[...]["raw"]` whatever their input: every raw output is a parameter."""

    def network(width: int) -> Network:
        def apply(params, x):
            return params["raw"].expand(*x.shape[:-1], width)

        return Network(lambda key: {"raw": random.normal(key, (width,))}, apply)

    encoder, decoder = network(posterior.width(latents)), network(likelihood.width(data))
    return build(encoder, decoder, data_dim=data, latent_dim=latents, posterior=posterior, likelihood=likelihood)


def parameters(vae: VAE, seed: int, scale: float = 1.5) -> Params:
    """Float64 parameters, a little larger than initial ones."""
    return tree.map(lambda leaf: scale * leaf.double(), vae.init(random.key(seed)))


def built(make: Callable[[], nn.Module]) -> nn.Module:
    """A module, whose construction draws its parameters from the global generator, which gets its state back."""
    with torch.random.fork_rng(devices=[]):
        return make()


def normals(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bits(seed: int, *shape: int) -> Tensor:
    return (normals(seed, *shape) > 0).double()


class LinearGaussian(NamedTuple):
    """z ~ N(0, I), x | z ~ N(W z + b, s**2 I), at its exact posterior."""

    vae: VAE
    params: Params
    x: Tensor
    log_evidence: Tensor


def linear_gaussian(seed: int, data: int, latents: int, batch: int) -> LinearGaussian:
    """Tipping & Bishop 1999: posterior N(M^-1 W' (x - b), s**2 M^-1) with M = W' W + s**2 I."""
    scale, weight, shift = 0.7, normals(seed, data, latents), normals(seed + 1, data)
    vae = build(
        mlp([data, heads.full_normal.width(latents)]),
        mlp([latents, data]),
        data_dim=data,
        latent_dim=latents,
        posterior=heads.full_normal,
        likelihood=heads.fixed_normal(scale),
    )
    inverse = torch.linalg.inv(weight.T @ weight + scale**2 * torch.eye(latents, dtype=torch.float64))
    factor, gain = torch.linalg.cholesky(scale**2 * inverse), inverse @ weight.T
    rows, columns = torch.tril_indices(latents, latents, -1)
    raw = torch.cat([torch.log(torch.expm1(factor.diagonal() - 1e-8)), factor[rows, columns]])
    encoder = {
        "0.weight": torch.cat([gain, torch.zeros(len(raw), data, dtype=torch.float64)]),
        "0.bias": torch.cat([-gain @ shift, raw]),
    }
    x = normals(seed + 2, batch, data)
    covariance = weight @ weight.T + scale**2 * torch.eye(data, dtype=torch.float64)
    log_evidence = torch.distributions.MultivariateNormal(shift, covariance).log_prob(x)
    return LinearGaussian(vae, {"encoder": encoder, "decoder": {"0.weight": weight, "0.bias": shift}}, x, log_evidence)


def normal_nodes(order: int, dims: int) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes `(order**dims, dims)` and weights for a standard normal."""
    points, weights = np.polynomial.hermite_e.hermegauss(order)
    return _product(points, weights / math.sqrt(2 * math.pi), dims)


def normal_line(dims: int, count: int = 49) -> tuple[Tensor, Tensor]:
    """Nodes `(count**dims, dims)` and weights of the trapezoid rule for a standard normal.

    On smooth integrands that are no polynomials it converges faster than Gauss-Hermite.
    """
    points, step = np.linspace(-8.0, 8.0, count, retstep=True)
    return _product(points, step * np.exp(-0.5 * points**2) / math.sqrt(2 * math.pi), dims)


def _product(points: np.ndarray, weights: np.ndarray, dims: int) -> tuple[Tensor, Tensor]:
    grid = np.stack(np.meshgrid(*[points] * dims, indexing="ij"), -1).reshape(-1, dims)
    return torch.from_numpy(grid), torch.from_numpy(functools.reduce(np.multiply.outer, [weights] * dims).reshape(-1))


LINE = torch.linspace(-14, 14, 701, dtype=torch.float64).unsqueeze(-1)
"""z on a line: the trapezoid rule on it converges exponentially for smooth densities that vanish at its ends."""
STEP = 28 / 700


def log_weights_on_line(vae: VAE, params: Params, x: Tensor, beta: float = 1.0) -> tuple[Tensor, Tensor]:
    """log w = log p(x | z) + beta (log p(z) - log q(z | x)) and log q, each `(701,)`, by torch.distributions."""
    q, p = vae.posterior(params, x, None).to_torch(), vae.prior(params, None).to_torch()
    log_q = q.log_prob(LINE)
    return vae.likelihood(params, LINE, None).to_torch().log_prob(x) + beta * (p.log_prob(LINE) - log_q), log_q


def bound_on_line(vae: VAE, params: Params, x: Tensor, samples: int, beta: float = 1.0) -> Tensor:
    """E log (1/K) sum_k w_k for K = 1 or 2 as an integral over z (not over noise), differentiable in the parameters."""
    log_w, log_q = log_weights_on_line(vae, params, x, beta)
    density = STEP * log_q.exp()
    if samples == 1:
        return density @ log_w
    return density @ (torch.logaddexp(log_w[:, None], log_w) - math.log(2)) @ density


def log_evidence_on_line(vae: VAE, params: Params, x: Tensor) -> Tensor:
    log_w, log_q = log_weights_on_line(vae, params, x)
    return torch.logsumexp(log_w + log_q, 0) + math.log(STEP)
