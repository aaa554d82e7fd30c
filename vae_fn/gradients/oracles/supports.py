"""The nodes of any q that has few enough."""

from collections.abc import Iterator

from vae_fn.distributions import is_discrete
from vae_fn.gradients.oracles import enumeration, quadrature
from vae_fn.gradients.oracles.weighing import Support
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params


def supports(problem: Problem, params: Params, order: int | None = None) -> Iterator[Support]:
    """All states of a discrete q, twice; else the nodes of quadrature at growing orders."""
    if is_discrete(problem.q(params)):
        states = enumeration.support(problem, params)
        return iter((states, states))
    return quadrature.supports(problem, params, order)
