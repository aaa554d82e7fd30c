"""Estimators that are three coefficients of their log-weights."""

from collections.abc import Callable

from vae_fn import tree
from vae_fn.gradients.estimator import Estimate, Estimator, Latents, check_latents, check_samples, once_each
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Rule, pull
from vae_fn.types import Params, Tree


def from_coefficients(
    name: str,
    rule: Rule,
    *,
    unbiased_for: str,
    latents: Latents = "continuous",
    min_samples: int = 1,
    importance_weighted: bool = False,
    q_follows: str | None = None,
    check: Callable[[Problem], None] = lambda problem: None,
) -> Estimator:
    """The stateless estimator of a rule `(log_weights, beta) -> Coefficients`.

    A rule that pulls the path takes continuous latents, one that does not takes any. `check(problem)` may refuse a
    problem for which the rule means nothing; it looks at which parts there are, never at values.

    Raises:
        ValueError: from `noise_like` and `estimate`, for fewer than `min_samples` samples, or for latents that it does
            not take.
    """

    def init(problem: Problem, params: Params) -> Tree:
        check(problem)
        return ()

    def noise_like(problem: Problem, params: Params, samples: int) -> Tree:
        check_samples(name, samples, min_samples)
        return tree.shapes_of(problem.q, params).noise_like((samples,))

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        check(problem)
        check_samples(name, tree.leaves(noise)[0].shape[0], min_samples)
        pulled = pull(problem, params, noise, rule)
        check_latents(name, latents, pulled.info.posterior)
        return Estimate(pulled.value, pulled.grads, state, pulled.info)

    return Estimator(
        name,
        unbiased_for,
        latents,
        min_samples,
        importance_weighted,
        once_each,
        init,
        noise_like,
        estimate,
        rule,
        q_follows,
    )
