"""The generalised doubly reparameterised gradient (Bauer & Mnih 2021).

DReG turns the score of q into a path; so can be turned the score of a learned prior, whose samples are not its own. At
z_k = T_q(e_k) the prior would have drawn z_k from the noise e~_k = T_p^-1(z_k); with that noise held,

    E sum_k w~_k d/dtheta log p(z_k) = E sum_k ( w~_k df/dz_k - w~_k**2 dlog w_k/dz_k ) dT_p(e~_k; theta)/dtheta.
"""

import torch

from vae_fn import tree
from vae_fn.distributions import Distribution
from vae_fn.gradients.estimator import Estimator, Evaluations, stateless
from vae_fn.gradients.estimators.importance import check_importance
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Info, Pulled, vjp
from vae_fn.models.objectives import log_mean_exp
from vae_fn.types import Params, Tree


def gdreg() -> Estimator:
    """GDReG for the K-sample bound: DReG for q, and its like for the prior (Bauer & Mnih 2021, section 4).

    Raises:
        ValueError: from `init` and `estimate`, if the prior's noise cannot be recovered from a value.
    """
    estimator = stateless(
        "gdreg",
        pull_both,
        unbiased_for="the K-sample bound",
        latents="continuous",
        evaluations=_evaluations,
        check=_check,
    )

    def init(problem: Problem, params: Params) -> Tree:
        state = estimator.init(problem, params)
        assert problem.p is not None
        _check_prior(tree.shapes_of(problem.p, params))
        return state

    return estimator._replace(init=init)


def pull_both(problem: Problem, params: Params, noise: Tree) -> Pulled:
    """Value and gradient of the K-sample bound, with q's and the prior's scores turned into paths."""
    assert problem.p is not None
    (q, pull_q), (p, pull_p) = vjp(problem.q, params), vjp(problem.p, params)
    _check_prior(p)
    z, pull_path = vjp(lambda q: q.sample(noise), q)
    f, pull_f = vjp(problem.f, params, z)
    ratio, pull_ratio = vjp(lambda z: q.log_prob_from_noise(noise, z) - p.log_prob(z), z)
    weights = torch.softmax(f - ratio, 0)

    grads, f_z = pull_f(weights)
    _, f_z_squared = pull_f(weights**2)
    (ratio_z_squared,) = pull_ratio(weights**2)
    along_q = tree.map(torch.sub, f_z_squared, ratio_z_squared)
    along_p = tree.map(torch.sub, f_z, along_q)

    (by_q,) = pull_q(*pull_path(along_q))
    prior_noise = p.noise_of(z)
    _, pull_prior_path = vjp(lambda p: p.sample(prior_noise), p)
    (by_p,) = pull_p(*pull_prior_path(along_p))
    return Pulled(log_mean_exp(f - ratio), tree.add(grads, by_p, by_q), Info(q, f, f - ratio, ratio))


def _evaluations(q: Distribution, samples: int) -> Evaluations:
    return Evaluations(samples, 2 * samples)


def _check(problem: Problem) -> None:
    check_importance(problem)
    if problem.p is None:
        raise ValueError("gdreg reparameterises the prior, and this problem has none: use elbo_sampled_problem")


def _check_prior(p: Distribution) -> None:
    if not hasattr(p, "noise_of"):
        raise ValueError(
            f"gdreg takes the prior's noise from a sample of q, which {type(p).__name__} does not give: use dreg, or a "
            "prior that has noise_of, such as Normal"
        )
