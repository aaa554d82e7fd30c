"""The oracle of a problem, chosen by what it is."""

from vae_fn.distributions import is_discrete
from vae_fn.gradients.estimator import TARGETS
from vae_fn.gradients.oracles import enumeration, importance, quadratic, quadrature, wake
from vae_fn.gradients.oracles.exact import Exact
from vae_fn.gradients.oracles.weighing import latents
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params

KNOWN = (*TARGETS, "the wake phase")
"""What there are oracles of: the first two are what an estimator can be `unbiased_for`."""


def exact(
    problem: Problem, params: Params, target: str = "the ELBO", samples: int = 1, order: int | None = None
) -> Exact:
    """The exact value and gradient of a target, by enumeration of discrete latents and quadrature of others.

    Beyond three normal latents there is a closed form where log w is a quadratic form of their noise, as in every
    linear-Gaussian model.

    Args:
        problem: of any batch shape, in float64.
        params: where.
        target: "the ELBO"; "the K-sample bound"; or "the wake phase", the bound with the target of wake-sleep for q.
        samples: K, of which the ELBO knows nothing.
        order: of the rule of each continuous latent; by default as in `quadrature.elbo`.

    Raises:
        ValueError: the target is none of these, or the method that it needs does not reach this q: the message says
            which limit is passed; or the problem is not in float64.
    """
    if target == "the K-sample bound":
        return importance.bound(problem, params, samples, order)
    if target == "the wake phase":
        return wake.phase(problem, params, samples, order)
    if target != "the ELBO":
        raise ValueError(f"there is no oracle of {target!r}: ask for {', '.join(map(repr, KNOWN))}")
    q = problem.q(params)
    if is_discrete(q):
        return enumeration.elbo(problem, params)
    if latents(q) > quadrature.MOST:
        return quadratic.elbo(problem, params)
    return quadrature.elbo(problem, params, order)
