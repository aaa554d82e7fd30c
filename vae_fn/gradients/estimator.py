"""The contract of a gradient estimator."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Distribution, is_discrete
from vae_fn.errors import check_count, check_kind
from vae_fn.gradients.problem import Problem, check_sampled
from vae_fn.gradients.wires import Info, Pulled, Rule
from vae_fn.types import Params, Tree

ELBO, BOUND = TARGETS = ("the ELBO", "the K-sample bound")
"""What an estimator can be unbiased for."""

Latents = Literal["continuous", "discrete", "any"]


class Estimate(NamedTuple):
    """`value` `(*batch)` in nats, `grads` of its sum over the batch (to ascend), the next state, and what was seen."""

    value: Float[Tensor, "*b"]
    grads: Params
    state: Tree
    info: Info


class Evaluations(NamedTuple):
    """How often an estimate runs f forward and backward for each example."""

    forward: int
    backward: int


def once_each(q: Distribution, samples: int) -> Evaluations:
    """Forward and backward once for each sample."""
    del q
    return Evaluations(samples, samples)


class Estimator(NamedTuple):
    """A gradient estimator of a `Problem`, as pure functions and what is known of it.

    Attributes:
        name: as on the command line.
        unbiased_for: the quantity whose gradient is its mean: "the ELBO", "the K-sample bound", or "nothing: ..." with
            the reason.
        latents: which it takes.
        min_samples: the fewest samples k with which it is defined.
        importance_weighted: whether it weighs samples by p(x, z) / q(z), which grey pixels under a
            Bernoulli do not allow.
        evaluations: `evaluations(q, samples)`, from shapes alone.
        init: `init(problem, params)` gives the estimator's own state.
        noise_like: `noise_like(problem, params, samples)` gives the noise specifications; runs on shapes alone.
        estimate: `estimate(problem, params, noise, state)` gives an `Estimate`.
        rule: the coefficients that it is made of, if it is: what its verification can take apart.
        q_follows: what q's own gradient follows where that is something else, in words.
        breaks: `breaks(problem, params, samples)` gives, as a tree like the noise, the points `(*shape, m)` in (0, 1)
            where the estimate jumps in its uniform noise, None for other noise: what integrating it needs.
    """

    name: str
    unbiased_for: str
    latents: Latents
    min_samples: int
    importance_weighted: bool
    evaluations: Callable[[Distribution, int], Evaluations]
    init: Callable[[Problem, Params], Tree]
    noise_like: Callable[[Problem, Params, int], Tree]
    estimate: Callable[[Problem, Params, Tree, Tree], Estimate]
    rule: Rule | None = None
    q_follows: str | None = None
    breaks: Callable[[Problem, Params, int], Tree] | None = None


def stateless(
    name: str,
    pull: Callable[[Problem, Params, Tree], Pulled],
    *,
    unbiased_for: str,
    latents: Latents,
    min_samples: int = 1,
    importance_weighted: bool = False,
    evaluations: Callable[[Distribution, int], Evaluations] = once_each,
    noise_like: Callable[[Distribution, int], Tree] = lambda q, samples: q.noise_like((samples,)),
    rule: Rule | None = None,
    q_follows: str | None = None,
    breaks: Callable[[Distribution, int], Tree] | None = None,
    check: Callable[[Problem], None] = lambda problem: None,
) -> Estimator:
    """The estimator that is `pull(problem, params, noise)`, and has no state.

    `noise_like(q, samples)` and `breaks(q, samples)` are the estimator's as functions of q. `check(problem)` may refuse
    a problem for which it means nothing; it looks at which parts there are, never at values. What is unbiased for the
    K-sample bound weighs samples by importance, and takes no problem of whose log-weights a part is exact.

    Raises:
        TypeError: the name, or what it is unbiased for, is no text.
        ValueError: there are no such latents; from `noise_like` and `estimate`, for fewer than `min_samples` samples,
            or for latents that it does not take.
    """
    check_kind("name", name, str, "the name stands first, what makes the estimate second")
    check_kind("unbiased_for", unbiased_for, str, f"give {ELBO!r}, {BOUND!r}, or 'nothing: ' and the reason")
    if latents not in get_args(Latents):
        raise ValueError(f"latents={latents!r} is unknown: use one of {', '.join(get_args(Latents))}")

    def suits(problem: Problem) -> None:
        if unbiased_for == BOUND:
            check_sampled(problem)
        check(problem)

    def init(problem: Problem, params: Params) -> Tree:
        suits(problem)
        check_latents(name, latents, tree.shapes_of(problem.q, params))
        return ()

    def specify(problem: Problem, params: Params, samples: int) -> Tree:
        check_samples(name, samples, min_samples)
        q = tree.shapes_of(problem.q, params)
        check_latents(name, latents, q)
        return noise_like(q, samples)

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        suits(problem)
        for leaf in tree.leaves(noise)[:1]:
            check_samples(name, leaf.shape[0], min_samples)
        pulled = pull(problem, params, noise)
        check_latents(name, latents, pulled.info.posterior)
        return Estimate(pulled.value, pulled.grads, state, pulled.info)

    def jumps(problem: Problem, params: Params, samples: int) -> Tree:
        assert breaks is not None
        return breaks(problem.q(params), samples)

    return Estimator(
        name,
        unbiased_for,
        latents,
        min_samples,
        importance_weighted or unbiased_for == BOUND,
        evaluations,
        init,
        specify,
        estimate,
        rule,
        q_follows,
        None if breaks is None else jumps,
    )


def check_samples(name: str, samples: int, least: int) -> None:
    """Refuse fewer samples than an estimator is defined for.

    Raises:
        ValueError: there are fewer than `least`, or their number is no whole one.
    """
    check_count("samples", samples)
    if samples < least:
        raise ValueError(f"{name} compares samples with each other: it needs at least {least}, not {samples}")


def check_latents(name: str, latents: Latents, q: Distribution) -> None:
    """Refuse latents that an estimator means nothing for.

    Raises:
        ValueError: q is discrete and the estimator takes continuous latents, or the other way round.
    """
    if latents == "continuous" and is_discrete(q):
        raise ValueError(f"{name} differentiates samples, and discrete ones have no gradient: use rloo or vimco")
    if latents == "discrete" and not is_discrete(q):
        raise ValueError(f"{name} is made for discrete latents, and {type(q).__name__} is not: use pathwise or dreg")
