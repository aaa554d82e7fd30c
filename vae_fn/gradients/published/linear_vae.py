"""The linear VAE, whose optimum is probabilistic PCA in closed form (Tipping & Bishop 1999; Lucas et al. 2019)."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vae_fn import random
from vae_fn.data import load_mnist, scale
from vae_fn.distributions import Normal
from vae_fn.errors import UserError
from vae_fn.gradients.oracles.closed_form import probabilistic_pca
from vae_fn.gradients.posed import Posed, titled
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.published.perturbation import perturb
from vae_fn.models.initial import uniform_fan_in
from vae_fn.types import Key, Params

Data = Float[Tensor, "n d"]

MNIST_DIM = 784
"""Pixels of an image."""


@dataclass(frozen=True)
class LinearVAE:
    """z ~ N(0, I), x | z ~ N(W z + mu, s^2 I), q(z | x) = N(V x + c, D) with a diagonal D; all are parameters.

    At the optimum q is the exact posterior: the ELBO and every K-sample bound are log p(x), and the gradient of the
    encoder that holds q's density still is 0 draw by draw. A variance s^2 above an eigenvalue of the data's covariance
    collapses the latent that belongs to it: its column of W is 0, its posterior is the prior.
    """

    latents: int = 2
    """Dimensions of z."""
    data: Literal["drawn", "mnist"] = "drawn"
    """Data: drawn from a linear model with as many latents, or MNIST's training images in [0, 1]."""
    dim: int = 8
    """Dimensions of x; MNIST has 784."""
    count: int = 1024
    """Number of data."""
    variance: float | None = None
    """Variance s^2 of each dimension of x given z; without it the maximum-likelihood one."""
    at: Literal["optimum", "initial"] = "optimum"
    """Parameters: the optimum of these data, or initial ones as of nn.Linear, with scales of 1 and this variance."""
    perturbation: float = 0.1
    """Standard deviation of the normal noise added to every parameter; 0 for none."""
    key: int = 0
    """Seed of the data, of the initial parameters and of the perturbation."""

    def __post_init__(self) -> None:
        if self.data == "mnist" and self.dim != MNIST_DIM:
            raise UserError(f"MNIST's images have {MNIST_DIM} dimensions: set dim to {MNIST_DIM}, not {self.dim}")
        if not 1 <= self.latents < min(self.dim, self.count - 1):
            raise UserError(
                "the variance is that of the directions which the latents leave out: "
                f"set latents from 1 to {min(self.dim, self.count - 1) - 1}, not {self.latents}"
            )
        if self.variance is not None and not self.variance > 0:
            raise UserError(f"a variance is positive: set variance above 0, not {self.variance:g}")

    def make(self) -> Posed:
        """The problem; the groups are `encoder` and `decoder` (`weight`, `bias`, `log_scale`)."""
        data_key, initial_key, perturbation_key = random.split(random.key(self.key), 3)
        if self.data == "mnist":
            data = scale(load_mnist().train.images[: self.count]).double()
        else:
            data = draw_data(self.count, self.dim, self.latents, data_key)
        params = optimum(data, self.latents, self.variance)
        if self.at == "initial":
            params = initial(params, initial_key)
        params = perturb(params, self.perturbation, perturbation_key)
        return Posed(titled("linear-vae", self), pose, data, params, "the ELBO")


def pose(x: Float[Tensor, "*b d"]) -> Problem:
    """The ELBO of data, all of it sampled."""
    return Problem(
        q=lambda params: _linear(params["encoder"], x),
        f=lambda params, z: _linear(params["decoder"], z).log_prob(x),
        p=lambda params: _standard(params["encoder"]["log_scale"]),
        beta=1.0,
    )


def optimum(data: Data, latents: int, variance: float | None = None) -> Params:
    """Probabilistic PCA with its exact posterior (Tipping & Bishop 1999, eq. 6): D = s^2 / L, V = D W^T / s^2.

    The columns of W are orthogonal, of squared lengths L - s^2, so that D is diagonal.

    Raises:
        UserError: as `probabilistic_pca`.
    """
    _, weight, mean, scale = probabilistic_pca(data, latents, variance)
    noise = scale[:1] ** 2
    posterior_variance = noise / (weight.square().sum(0) + noise)
    to_loc = (weight * posterior_variance / noise).T
    return {
        "encoder": {"weight": to_loc, "bias": -to_loc @ mean, "log_scale": 0.5 * posterior_variance.log()},
        "decoder": {"weight": weight, "bias": mean, "log_scale": scale[:1].log()},
    }


def initial(like: Params, key: Key) -> Params:
    """Parameters of the shapes of `like` as training starts: nn.Linear's law, q's scales 1, the variance of `like`."""
    keys = iter(random.split(key, 4))

    def linear(part: str) -> Params:
        weight, bias = like[part]["weight"], like[part]["bias"]
        law = uniform_fan_in(weight.shape[1])
        return {
            "weight": law(next(keys), tuple(weight.shape)).to(weight),
            "bias": law(next(keys), tuple(bias.shape)).to(bias),
        }

    return {
        "encoder": {**linear("encoder"), "log_scale": torch.zeros_like(like["encoder"]["log_scale"])},
        "decoder": {**linear("decoder"), "log_scale": like["decoder"]["log_scale"]},
    }


def draw_data(count: int, dim: int, latents: int, key: Key) -> Data:
    """Data of the linear model with standard normal weights and mean, and unit variance."""
    weight, mean, latent, observed = random.split(key, 4)
    z = random.normal(latent, (count, latents), torch.float64)
    x = F.linear(z, random.normal(weight, (dim, latents), torch.float64), random.normal(mean, (dim,), torch.float64))
    return x + random.normal(observed, (count, dim), torch.float64)


def _linear(layer: Params, x: Float[Tensor, "*b i"]) -> Normal:
    """A normal distribution around a linear map."""
    loc = F.linear(x, layer["weight"], layer["bias"])
    return Normal(loc, layer["log_scale"].exp().expand_as(loc))


def _standard(like: Float[Tensor, " d"]) -> Normal:
    return Normal(torch.zeros_like(like), torch.ones_like(like))
