"""The Gaussian model on which tighter bounds lose their signal (Rainforth et al. 2018)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions import Normal
from vae_fn.errors import UserError
from vae_fn.gradients.posed import Posed, titled
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.published.perturbation import perturb
from vae_fn.types import Key, Params


@dataclass(frozen=True)
class Rainforth:
    """z ~ N(mu, I), x | z ~ N(z, I), q(z | x) = N(A x + b, v I): a covariance, where v I = (2/3) I is the paper's.

    The exact posterior has v = 1/2. All K-sample bounds of the data set have their optimum in mu, A and b at mu* = mean
    x, A* = I / 2, b* = mu* / 2; the parameters are these, perturbed.
    """

    dim: int = 20
    """Dimensions of x and of z."""
    count: int = 1024
    """Number of data, drawn from the model at a mu drawn from N(0, I)."""
    variance: float = 2 / 3
    """Variance v of each coordinate of q: 2/3 in the paper, 1/2 for the exact posterior at the optimum."""
    perturbation: float = 0.01
    """Standard deviation of the normal noise added to every parameter; 0 for the optimum."""
    key: int = 0
    """Seed of the data and of the perturbation."""

    def __post_init__(self) -> None:
        if self.dim < 1 or self.count < 1:
            raise UserError(f"there must be data: set dim and count to 1 or more, not {self.dim} and {self.count}")
        if not self.variance > 0:
            raise UserError(f"a variance is positive: set variance above 0, not {self.variance:g}")

    def make(self) -> Posed:
        """The problem; the groups are `encoder` (`weight` A, `bias` b) and `prior` (`loc` mu)."""
        data_key, perturbation_key = random.split(random.key(self.key))
        data = draw_data(self.count, self.dim, data_key)
        params = perturb(optimum(data), self.perturbation, perturbation_key)
        scale = self.variance**0.5

        def pose(x: Float[Tensor, "*b d"]) -> Problem:
            return Problem(
                q=lambda params: _normal(F.linear(x, **params["encoder"]), scale),
                f=lambda params, z: _normal(z, 1.0).log_prob(x),
                p=lambda params: _normal(params["prior"]["loc"], 1.0),
                beta=1.0,
            )

        return Posed(titled("rainforth", self), pose, data, params, "the K-sample bound")


def draw_data(count: int, dim: int, key: Key) -> Float[Tensor, "n d"]:
    """Data of the model at a drawn mu: x = mu + e_1 + e_2."""
    mu, latent, observed = random.split(key, 3)
    draws = [random.normal(each, (count, dim), torch.float64) for each in (latent, observed)]
    return sum(draws, start=random.normal(mu, (dim,), torch.float64))


def optimum(data: Float[Tensor, "n d"]) -> Params:
    """The parameters at which every K-sample bound of these data has gradient 0 in mu, A and b."""
    mean = data.mean(0)
    weight = 0.5 * torch.eye(len(mean), dtype=data.dtype)
    return {"encoder": {"weight": weight, "bias": mean / 2}, "prior": {"loc": mean}}


def _normal(loc: Float[Tensor, "*b d"], scale: float) -> Normal:
    return Normal(loc, torch.full_like(loc, scale))
