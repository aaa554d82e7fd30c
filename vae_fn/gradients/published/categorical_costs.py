"""Powers of a linear function of a one-hot variable: where relaxations and straight-through gradients are biased."""

from dataclasses import dataclass
from typing import Literal

import torch

from vae_fn import random
from vae_fn.distributions import Categorical
from vae_fn.errors import UserError
from vae_fn.gradients.posed import Posed, plain_cost, titled
from vae_fn.gradients.problem import Problem

POWERS = {"linear": 1, "quadratic": 2, "cubic": 3}
"""The power of each cost."""


@dataclass(frozen=True)
class CategoricalCosts:
    """f(z) = (a . z)^p of one variable with C classes and scores a_c = c / C, c = 1, ..., C.

    At the classes themselves each cost is a table of C numbers; between them, where relaxed values lie, it is a
    polynomial. After the polynomial programs of Liu et al. (2023): the straight-through gradient (Bengio et
    al. 2013) is unbiased for the linear cost and theirs, ReinMax, for the quadratic one too; neither is for the cubic.
    """

    cost: Literal["linear", "quadratic", "cubic"] = "quadratic"
    """The power of the cost."""
    classes: int = 3
    """Number of classes C, at least 2."""
    key: int = 0
    """Seed of the standard normal logits."""

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise UserError(f"one class has no gradient: set classes to 2 or more, not {self.classes}")

    def make(self) -> Posed:
        """The problem; its parameter is q's `logits`, `(1, classes)`."""
        scores = torch.arange(1, self.classes + 1, dtype=torch.float64) / self.classes
        problem = Problem(
            q=lambda params: Categorical(params["q"]["logits"]),
            f=lambda params, z: ((z * scores.to(z)).sum(-1) ** POWERS[self.cost]).sum(-1),
        )
        logits = random.normal(random.key(self.key), (1, self.classes), torch.float64)
        return plain_cost(titled("categorical-costs", self), problem, {"logits": logits})
