"""The linear-Gaussian model, of which everything but K-sample bounds away from the posterior has a closed form.

With z ~ N(m, P) and x | z ~ N(W z + b, D) with a diagonal D,

    x ~ N(W m + b, W P W' + D),     z | x ~ N(m + C W' D^-1 (x - W m - b), C),     C^-1 = P^-1 + W' D^-1 W

(Tipping & Bishop 1999, eqs. 3 to 6, where P = I and D = s^2 I; Lucas et al. 2019, section 4). At q(z) = p(z | x) every
K-sample bound is log p(x). Probabilistic PCA is the maximum of the likelihood, with P = I and D = s^2 I.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, func
from torch.nn import functional as F

from vae_fn.distributions import MultivariateNormal, Normal, kl
from vae_fn.errors import UserError
from vae_fn.gradients.oracles.exact import Computation, Exact, refined
from vae_fn.types import Params

Gaussian = Normal | MultivariateNormal


class LinearGaussian(NamedTuple):
    """p(z) = N(m, P) with batch shape (), p(x | z) = N(W z + b, diag(scale^2))."""

    prior: Gaussian
    weight: Float[Tensor, "d l"]
    bias: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]


def exact(target: Callable[[Params], Float[Tensor, "*b"]], params: Params) -> Exact:
    """A closed form `target(params)`, `(*b)` in nats, and the gradient of its sum; the error is rounding."""

    def total(params: Params) -> tuple[Tensor, Tensor]:
        value = target(params)
        return value.sum(), value

    grads, value = func.grad(total, has_aux=True)(params)
    return refined([Computation(value, grads)], "closed form")


def log_evidence(model: LinearGaussian, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """The logarithm of p(x)."""
    factor = model.weight @ scale_tril(model.prior)
    covariance = factor @ factor.T + torch.diag(model.scale**2)
    return MultivariateNormal(_decode(model, model.prior.loc), torch.linalg.cholesky(covariance)).log_prob(x)


def posterior(model: LinearGaussian, x: Float[Tensor, "*b d"]) -> MultivariateNormal:
    """The distribution p(z | x) of each x."""
    standard = torch.linalg.inv(scale_tril(model.prior))
    whitened = model.weight / model.scale.unsqueeze(-1)
    covariance = torch.linalg.inv(standard.T @ standard + whitened.T @ whitened)
    residual = (x - _decode(model, model.prior.loc)) / model.scale
    loc = model.prior.loc + residual @ (whitened @ covariance)
    root = torch.linalg.cholesky(covariance)
    return MultivariateNormal(loc, root.expand(*loc.shape, loc.shape[-1]))


def elbo(model: LinearGaussian, q: Gaussian, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """E_q log p(x | z) - KL(q || p(z)) of any normal q, diagonal or full."""
    spread = (model.weight / model.scale.unsqueeze(-1)) @ scale_tril(q)
    at_mean = Normal(_decode(model, q.loc), model.scale).log_prob(x)
    return at_mean - 0.5 * spread.square().sum((-2, -1)) - kl(q, model.prior)


def probabilistic_pca(data: Float[Tensor, "n d"], latents: int, variance: float | None = None) -> LinearGaussian:
    """The maximum of the likelihood of the data (Tipping & Bishop 1999, eqs. 14 and 15, with R = I).

    W = U (L - s^2 I)^(1/2) of the largest eigenvalues L of the data's covariance, and s^2 the mean of the others. Of a
    given s^2 it is the maximum too, with 0 for the root of what is negative (Lucas et al. 2019).

    Raises:
        UserError: the latents leave out no direction in which the data differ, so that the variance is 0.
    """
    mean = data.mean(0)
    eigenvalues, directions = torch.linalg.eigh(torch.cov(data.T, correction=0))
    noise = eigenvalues[:-latents].mean().item() if variance is None else variance
    if noise < 1e-12 * eigenvalues[-1]:
        raise UserError(f"these data lie in {latents} dimensions: set fewer latents, or a variance")
    weight = _signed(directions[:, -latents:].flip(-1)) * (eigenvalues[-latents:].flip(-1) - noise).clamp(min=0).sqrt()
    prior = Normal(mean.new_zeros(latents), mean.new_ones(latents))
    return LinearGaussian(prior, weight, mean, torch.full_like(mean, noise**0.5))


def _signed(directions: Float[Tensor, "d k"]) -> Float[Tensor, "d k"]:
    """Eigenvectors have no sign of their own; make the largest entry of each positive, on every machine."""
    largest = directions.abs().argmax(0, keepdim=True)
    return directions * directions.gather(0, largest).sign()


def scale_tril(q: Gaussian) -> Float[Tensor, "*b l l"]:
    """The lower-triangular root of the covariance."""
    return torch.diag_embed(q.scale) if isinstance(q, Normal) else q.scale_tril


def _decode(model: LinearGaussian, z: Float[Tensor, "*b l"]) -> Float[Tensor, "*b d"]:
    return F.linear(z, model.weight, model.bias)
