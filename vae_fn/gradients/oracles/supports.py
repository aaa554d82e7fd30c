"""The nodes of any q that has few enough."""

from collections.abc import Iterator

from vae_fn.distributions import is_discrete
from vae_fn.gradients.oracles import enumeration, quadratic, quadrature
from vae_fn.gradients.oracles.weighing import Support, latents
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params


def supports(problem: Problem, params: Params, order: int | None = None) -> Iterator[Support]:
    """All states of a discrete q, twice; the points of a quadratic form, twice; else quadrature at growing orders.

    A form is taken wherever there is one, unless an order is asked for: its K-sample bounds are the better known.
    """
    q = problem.q(params)
    if is_discrete(q):
        return iter((enumeration.states_of(q),) * 2)
    if latents(q) > quadrature.MOST or (order is None and quadratic.fits(problem, params)):
        return iter((quadratic.support(q),) * 2)
    return quadrature.supports(problem, params, order)
