"""Gradient estimators held against exact gradients, on problems small enough to integrate."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.errors import check_kind
from vae_fn.gradients import Estimator
from vae_fn.gradients.oracles.moments import moments
from vae_fn.types import Key, Tree
from vae_fn.verify.bounded import mean_bounded
from vae_fn.verify.coordinates import vector
from vae_fn.verify.draws import draws_of
from vae_fn.verify.estimators.settings import (
    Setting,
    battery,
    bound_of,
    estimate_of,
    noise_of,
    refusals,
    specification_of,
)
from vae_fn.verify.integrals import exact
from vae_fn.verify.problems import AVERAGES, Known
from vae_fn.verify.report import Report, gather
from vae_fn.verify.sample import Draw
from vae_fn.verify.sampled import mean
from vae_fn.verify.seeds import key_of
from vae_fn.verify.verdict import Verdict

ESTIMATES = 3
"""How many of them advance the state of an estimator that has one."""

TOGETHER = 16
"""Draws that are averaged where a mean is sampled without a bound on its variance."""

MAKE_ONE = "call what makes one, as in estimators.pathwise(), or make your own with gradients.from_coefficients(...)"
"""What to do who gives something else for an estimator."""

NOTHING = "nothing"
"""How an estimator begins to say that it is biased; the reason follows."""


def unbiased(estimator: Estimator, on: Known | Sequence[Setting] | None = None, *, samples: int = 2) -> Report:
    """Check that an estimator's value and gradient have the exact ones as their means.

    Every problem is integrated over the estimator's own noise (exact tier). On the first one its noise is also drawn
    from the generator, and tested with the variance that the same integral gives (bounded tier).

    Args:
        estimator: it declares what it is unbiased for: "the ELBO", "the K-sample bound", or "nothing: ..." with the
            reason. Where q's gradient follows something else, only the other gradients are held against it.
        on: one problem, or settings; by default `battery()`.
        samples: K, for one problem.

    Returns:
        Verdicts for every setting; what the estimator refuses, and what it does not claim, is not covered. What is
        declared in other words is `inconclusive`.

    Raises:
        TypeError: it is no `Estimator`.
    """
    check_kind("estimator", estimator, Estimator, MAKE_ONE)
    settings = (Setting(on, samples),) if isinstance(on, Known) else tuple(on or battery())
    return gather(estimator.name, of_means(estimator, settings))


def of_means(estimator: Estimator, settings: Sequence[Setting]) -> Iterator[Verdict | str]:
    """What `unbiased` finds, as it finds it."""
    if estimator.unbiased_for.startswith(NOTHING):
        yield f"unbiasedness, which it does not claim: {estimator.unbiased_for}"
        return
    if estimator.unbiased_for not in AVERAGES:
        yield _unknown_target(estimator)
        return
    reasons = refusals(estimator, settings)
    taken = [setting for setting in settings if setting.name not in reasons]
    for setting in taken:
        yield integrated(setting, estimator)(estimator)
    yield from (sampled(setting, estimator) for setting in _exactly(taken, estimator)[:1])
    yield from (verdict for setting in taken[:1] for verdict in later(setting, estimator))
    for name, reason in reasons.items():
        yield f"{name}: {reason}"
    if estimator.q_follows:
        yield f"the gradient of q, which follows {estimator.q_follows}"


def integrated(setting: Setting, estimator: Estimator) -> Callable[[Estimator], Verdict]:
    """The exact tier on a setting, as a check that takes an estimator, or a wrong version of it.

    Where it does not reach, the bounded tier, for which the variance need not be known well, else the sampled one.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    expected, claimed = _expected(setting, estimator), _claimed(estimator)
    noise = noise_of(estimator, setting)
    bound = bound_of(estimator, setting) if noise is None else None

    def check(estimator: Estimator) -> Verdict:
        estimate = estimate_of(estimator, setting)
        name = f"{estimator.name} on {setting.name}"

        def fn(noise: Tree) -> Tree:
            return claimed(estimate(noise))

        if noise is not None:
            return exact(fn, expected, noise, name=name)
        draw = draws_of(fn, specification_of(estimator, setting), setting.known.x.dtype)
        if bound is None:
            return mean(_averages(draw), expected, name=name)
        return mean_bounded(draw, expected, claimed(bound), name=name)

    return check


def later(setting: Setting, estimator: Estimator) -> Iterator[Verdict]:
    """The exact tier of an estimator with a state, at the state that a few estimates leave: it must not pull the mean.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    problem, params = setting.known.problem, setting.known.params
    state, specs = estimator.init(problem, params), specification_of(estimator, setting)
    if tree.leaves(state):
        keys = random.split(key_of(f"{estimator.name} on {setting.name}", params, "later"), ESTIMATES)
        for key in keys:
            noise = random.draw(key, specs, setting.known.x.dtype)
            state = tree.map(lambda leaf: leaf.detach(), estimator.estimate(problem, params, noise, state).state)
        advanced = estimator._replace(init=lambda problem, params: state)
        verdict = integrated(setting, advanced)(advanced)
        yield verdict.named(f"{verdict.name}, after {ESTIMATES} estimates")


def sampled(setting: Setting, estimator: Estimator) -> Verdict:
    """The bounded tier on a setting of the exact one, through the real generator; `inconclusive` without a variance.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    estimate, claimed = estimate_of(estimator, setting), _claimed(estimator)

    def fn(noise: Tree) -> Tree:
        return claimed(estimate(noise))

    draw = draws_of(fn, specification_of(estimator, setting), setting.known.x.dtype)
    variance = moments(fn, noise_of(estimator, setting)).variance
    name = f"{estimator.name} on {setting.name}"
    if not bool(vector(variance).isfinite().all()):
        return Verdict("mean_bounded", name, "bounded", "inconclusive", "the integral of its variance is not finite")
    return mean_bounded(draw, _expected(setting, estimator), variance, name=name)


def _exactly(settings: Sequence[Setting], estimator: Estimator) -> list[Setting]:
    """Those that the exact tier reaches."""
    return [setting for setting in settings if noise_of(estimator, setting) is not None]


def _averages(draw: Draw) -> Draw:
    """Averages of `TOGETHER` draws each, in which a rare class is no step in the tail that would look heavy.

    A tail that is heavy stays as heavy. No two weights are the same, so that averages of two values are not few values.
    """
    weights = 1 + torch.arange(TOGETHER) * math.sqrt(2) % 1
    weights = weights.double() / weights.double().sum()

    def averages(key: Key, count: int) -> Tree:
        def average(leaf: Tensor) -> Tensor:
            return torch.einsum("nt...,t->n...", leaf.unflatten(0, (count, TOGETHER)), weights.to(leaf))

        return tree.map(average, draw(key, count * TOGETHER))

    return averages


def _unknown_target(estimator: Estimator) -> Verdict:
    known = " or ".join(repr(target) for target in AVERAGES)
    detail = (
        f"it declares to be unbiased for {estimator.unbiased_for!r}, which is not known here: "
        f"declare {known}, or {NOTHING + ': ...'!r} with the reason"
    )
    return Verdict("mean", estimator.name, "exact", "inconclusive", detail)


def _expected(setting: Setting, estimator: Estimator) -> dict[str, Tree]:
    return _claimed(estimator)(setting.known.exact(setting.samples, AVERAGES[estimator.unbiased_for]))


def _claimed(estimator: Estimator) -> Callable[[dict[str, Tree]], dict[str, Tree]]:
    """What an estimator is unbiased in: all, or all but the gradient of q."""
    left_out = {"encoder"} if estimator.q_follows else set()

    def claimed(found: dict[str, Tree]) -> dict[str, Tree]:
        kept = {network: leaves for network, leaves in found["grads"].items() if network not in left_out}
        return {"value": found["value"], "grads": kept}

    return claimed
