"""A problem with its data and the parameters at which its gradients are measured."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_fn.gradients.problem import Problem
from vae_fn.types import Params


class Posed(NamedTuple):
    """What a laboratory measures estimators on.

    Attributes:
        name: as in tables, with its options.
        pose: the problem of data `(*batch, d)`; that of a plain cost is the same for whatever it is given.
        data: the data set; None of a plain cost.
        params: where gradients are measured, a dict per group: `encoder`, `decoder`, `prior`, or `q` of a plain cost.
        target: what its papers estimate the gradient of, "the ELBO" or "the K-sample bound". The ELBO of a plain cost
            is E f.
    """

    name: str
    pose: Callable[[Any], Problem]
    data: Float[Tensor, "n d"] | None
    params: Params
    target: str

    @property
    def problem(self) -> Problem:
        """The problem of the whole data set."""
        return self.pose(self.data)


def plain_cost(name: str, problem: Problem, q: Params) -> Posed:
    """A cost under a q of its own parameters: E f, raised as it stands (some papers lower it: the signs turn)."""
    return Posed(name, lambda data: problem, None, {"q": q}, "the ELBO")


def titled(name: str, options: Any) -> str:
    """A problem's name with the values of its dataclass of options, as `rainforth(dim=20, perturbation=0.01)`."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    written = (
        f"{field}={value:g}" if isinstance(value, float) else f"{field}={value}" for field, value in values.items()
    )
    return f"{name}({', '.join(written)})"
