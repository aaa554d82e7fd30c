"""The contract of a gradient estimator, and the estimators that are three coefficients of their log-weights."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions.kl import DISCRETE
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Info, Rule, pull
from vae_fn.types import Params, Tree


class Estimate(NamedTuple):
    """`value` `(*batch)` in nats, `grads` of its sum over the batch (to ascend), the next state, and what was seen."""

    value: Float[Tensor, "*b"]
    grads: Params
    state: Tree
    info: Info


class Estimator(NamedTuple):
    """A gradient estimator of a `Problem`, as pure functions and what is known of it.

    Attributes:
        name: as on the command line.
        unbiased_for: the quantity whose gradient is its mean: "the ELBO", "the K-sample bound", or "nothing: ..." with
            the reason.
        min_samples: the fewest samples k with which it is defined.
        importance_weighted: whether it weighs samples by p(x, z) / q(z), which grey pixels do not allow.
        evaluations: forward and backward evaluations of f for each sample.
        init: `init(problem, params)` gives the estimator's own state.
        noise_like: `noise_like(problem, params, samples)` gives the noise specifications; runs on shapes alone.
        estimate: `estimate(problem, params, noise, state)` gives an `Estimate`.
        rule: the coefficients that it is made of, if it is: what its verification can take apart.
        q_follows: what q's own gradient follows where that is something else, in words.
    """

    name: str
    unbiased_for: str
    min_samples: int
    importance_weighted: bool
    evaluations: tuple[int, int]
    init: Callable[[Problem, Params], Tree]
    noise_like: Callable[[Problem, Params, int], Tree]
    estimate: Callable[[Problem, Params, Tree, Tree], Estimate]
    rule: Rule | None = None
    q_follows: str | None = None


def from_coefficients(
    name: str,
    rule: Rule,
    *,
    unbiased_for: str,
    min_samples: int = 1,
    through_samples: bool = True,
    importance_weighted: bool = False,
    q_follows: str | None = None,
    check: Callable[[Problem], None] = lambda problem: None,
) -> Estimator:
    """The stateless estimator of a rule `(log_weights, beta) -> Coefficients`.

    `check(problem)` may refuse a problem for which the rule means nothing; it looks at which parts there are, never at
    values. `through_samples` says that the rule pulls the path.

    Raises:
        ValueError: from `noise_like` and `estimate`, for fewer than `min_samples` samples; from `estimate`, for
            discrete samples where the rule pulls the path.
    """

    def init(problem: Problem, params: Params) -> Tree:
        check(problem)
        return ()

    def noise_like(problem: Problem, params: Params, samples: int) -> Tree:
        _enough(name, samples, min_samples)
        return tree.shapes_of(problem.q, params).noise_like((samples,))

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        check(problem)
        _enough(name, tree.leaves(noise)[0].shape[0], min_samples)
        pulled = pull(problem, params, noise, rule)
        if through_samples and isinstance(pulled.info.posterior, DISCRETE):
            raise ValueError(f"{name} differentiates samples, and discrete ones have no gradient: use rloo or vimco")
        return Estimate(pulled.value, pulled.grads, state, pulled.info)

    weighted, evaluations = importance_weighted, (1, 1)
    return Estimator(
        name, unbiased_for, min_samples, weighted, evaluations, init, noise_like, estimate, rule, q_follows
    )


def _enough(name: str, samples: int, least: int) -> None:
    if samples < least:
        raise ValueError(f"{name} compares samples with each other: it needs at least {least}, not {samples}")
