"""Squared errors of one and of three bits: the toy problems of the estimators for discrete variables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from vae_fn.distributions import Bernoulli
from vae_fn.gradients.posed import Posed, plain_cost, titled
from vae_fn.gradients.problem import Problem


@dataclass(frozen=True)
class OneBernoulli:
    """f(b) = (b - t)^2 of one bit b (Tucker et al. 2017; Grathwohl et al. 2018).

    The nearer t is to 1/2, the smaller the gradient p (1 - p) (1 - 2 t) in the logit beside the cost. The papers have
    t = 0.45, 0.49 and 0.499. At p = 1/2 an antithetic pair of bits always differs, and DisARM has no variance.
    """

    t: float = 0.45
    """The target of the bit."""
    logit: float = -1.0
    """Logit of the probability p of a one."""

    def make(self) -> Posed:
        """The problem; its parameter is q's `logits`, `(1,)`."""
        logits = torch.tensor([self.logit], dtype=torch.float64)
        return plain_cost(titled("one-bernoulli", self), squared_error([self.t]), {"logits": logits})


@dataclass(frozen=True)
class ThreeBernoullis:
    """f(b) = sum_i (b_i - t_i)^2 of three bits.

    shared: one logit for all bits, t = (0.6, 0.51, 0.48) (Liu et al. 2019; Kool et al. 2020);
    separate: a logit for each bit, t = (0.2, 0.55, 0.9) (the code of Grathwohl et al. 2018).
    """

    form: Literal["shared", "separate"] = "shared"
    """Whether the bits share one logit or have one each; the targets are those of the form's papers."""
    logit: float = -1.0
    """Logit of every bit."""

    def make(self) -> Posed:
        """The problem; its parameters are q's `logits`, `(1,)` shared or `(3,)` separate."""
        targets, width = {"shared": ([0.6, 0.51, 0.48], 1), "separate": ([0.2, 0.55, 0.9], 3)}[self.form]
        logits = torch.full((width,), self.logit, dtype=torch.float64)
        return plain_cost(titled("three-bernoullis", self), squared_error(targets), {"logits": logits})


def squared_error(targets: Sequence[float]) -> Problem:
    """The cost sum_i (b_i - t_i)^2; one logit stands for all bits."""
    t = torch.tensor(targets, dtype=torch.float64)
    return Problem(
        q=lambda params: Bernoulli(params["q"]["logits"].expand(len(targets))),
        f=lambda params, bits: ((bits - t.to(bits)) ** 2).sum(-1),
    )
