"""Three costs of one normal variable (Mohamed et al. 2020, section 3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vae_fn.distributions import Normal
from vae_fn.errors import UserError
from vae_fn.gradients.posed import Posed, plain_cost, titled
from vae_fn.gradients.problem import Problem

COSTS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "quadratic": lambda z, k: (z - k) ** 2,
    "exponential": lambda z, k: torch.exp(-k * z**2),
    "cosine": lambda z, k: torch.cos(k * z),
}
"""The costs, with one number each that tunes how they bend."""


@dataclass(frozen=True)
class GaussianCosts:
    """f(z) of z ~ N(loc, scale^2), with gradients in loc and in scale themselves.

    The paper has loc = scale = 1 and k from -3 to 3 (quadratic), 0.1 to 10 (exponential), 0.5 to 5 (cosine).
    """

    cost: Literal["quadratic", "exponential", "cosine"] = "quadratic"
    """Cost: (z - k)^2, exp(-k z^2) or cos(k z)."""
    k: float = 2.0
    """The number in the cost; not negative in the exponential one."""
    loc: float = 1.0
    """Mean of z."""
    scale: float = 1.0
    """Standard deviation of z."""

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise UserError(f"a standard deviation is positive: set scale above 0, not {self.scale:g}")
        if self.cost == "exponential" and not self.k >= 0:
            raise UserError(f"exp(-k z^2) has a mean for every scale only at k >= 0: raise k from {self.k:g}")

    def make(self) -> Posed:
        """The problem; its parameters are q's `loc` and `scale`, `(1,)` each."""
        cost = COSTS[self.cost]
        problem = Problem(
            q=lambda params: Normal(params["q"]["loc"], params["q"]["scale"]),
            f=lambda params, z: cost(z, self.k).sum(-1),
        )
        params = {name: torch.tensor([getattr(self, name)], dtype=torch.float64) for name in ("loc", "scale")}
        return plain_cost(titled("gaussian-costs", self), problem, params)
