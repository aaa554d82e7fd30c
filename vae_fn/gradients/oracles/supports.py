"""The nodes of any q that has few enough."""

from collections.abc import Iterator

from vae_fn.distributions import is_discrete
from vae_fn.gradients.oracles import enumeration, quadratic, quadrature
from vae_fn.gradients.oracles.weighing import Support, latents
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params


def supports(problem: Problem, params: Params, order: int | None = None) -> Iterator[Support]:
    """The nodes of quadrature at growing orders; all states of a discrete q, twice; the points of a form, twice."""
    q = problem.q(params)
    if is_discrete(q):
        return iter((enumeration.states_of(q),) * 2)
    if latents(q) > quadrature.MOST:
        return iter((quadratic.support(q),) * 2)
    return quadrature.supports(problem, params, order)
