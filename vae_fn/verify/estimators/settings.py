"""What an estimator is checked on: problems and numbers of samples, and its noise there."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.gradients import Estimator, Problem
from vae_fn.gradients.oracles.moments import FURTHER, changes, moments, order_of
from vae_fn.gradients.oracles.nodes import Nodes, product
from vae_fn.types import Params, Tree
from vae_fn.verify.integrals import TOLERANCE
from vae_fn.verify.problems import Known, bernoulli_decoder, bernoulli_latents, categorical, linear_gaussian
from vae_fn.verify.seeds import key_of

ORDERS = (1, 2, 3, 4, 6, 9, 14, 20, 30, 45, 70)
"""Of the rules on the pieces between jumps; estimates that are constant on them agree at 1 and 2."""

ALIKE = 0.1
"""The change of a variance from one order to the next at which twice the variance is taken for a bound."""


class Setting(NamedTuple):
    """A problem and a number of samples at which an estimator is checked."""

    known: Known
    samples: int

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.known.name}, K={self.samples}"

    @property
    def batch(self) -> Tensor:
        """Three examples, no two alike."""
        x = self.known.x
        return torch.stack([x, x.roll(1), 1 - x])


def battery() -> tuple[Setting, ...]:
    """What an estimator is checked on unless told otherwise: every kind of latent, K = 1, 2 and 3, beta and closed KL.

    K = 2 alone cannot tell K - 1 from 1; a linear-Gaussian problem alone sees second moments of the noise only.
    """
    return (
        Setting(bernoulli_decoder(1), 2),
        Setting(bernoulli_latents(1), 3),
        Setting(bernoulli_latents(2, beta=0.7), 2),
        Setting(categorical(1, 3), 2),
        Setting(categorical(2, 2), 2),
        Setting(bernoulli_decoder(1, beta=0.7), 2),
        Setting(bernoulli_decoder(1, closed_kl=True), 2),
        Setting(linear_gaussian(1), 2),
        Setting(bernoulli_decoder(2), 1),
        Setting(bernoulli_decoder(1), 3),
    )


def estimated(estimator: Estimator, problem: Problem, params: Params, noise: Tree, state: Tree) -> dict[str, Tree]:
    """What is checked of an estimate, `{"value", "grads"}`, its gradients in the order of the parameters."""
    found = estimator.estimate(problem, params, noise, state)
    return {"value": found.value, "grads": in_order(found.grads, params)}


def in_order(grads: Tree, params: Params) -> Tree:
    """Gradients in the order of the parameters, as dictionaries may have any; others than theirs stay as they are."""
    named = tree.flat_names(grads)
    return tree.from_names(named, params) if named.keys() == tree.flat_names(params).keys() else grads


def estimate_of(estimator: Estimator, setting: Setting) -> Callable[[Tree], dict[str, Tree]]:
    """The function of one draw of noise whose mean is checked: `{"value", "grads"}` at the problem's parameters."""
    problem, params = setting.known.problem, setting.known.params
    state = estimator.init(problem, params)

    def estimate(noise: Tree) -> dict[str, Tree]:
        return estimated(estimator, problem, params, noise, state)

    return estimate


def specification_of(estimator: Estimator, setting: Setting) -> Tree:
    """The noise of an estimator there, as it says itself."""
    return estimator.noise_like(setting.known.problem, setting.known.params, setting.samples)


def noise_of(estimator: Estimator, setting: Setting) -> Tree | Nodes | None:
    """What is integrated over: the noise, its pieces between jumps, or all states where the latents are discrete.

    Returns:
        None where the estimate jumps at places that are not named, or on too many pieces: it can be sampled.

    Raises:
        ValueError: the estimator refuses the setting, or its noise has too many dimensions or none.
    """
    known, specs = setting.known, specification_of(estimator, setting)
    if not tree.leaves(specs):
        raise ValueError("it has no noise, so that there is nothing to integrate")
    if estimator.breaks is not None:
        found = _between_jumps(estimator, setting)
        return found.rule if found is not None and found.errors[0] <= TOLERANCE else None
    own = specs != known.problem.q(known.params).noise_like((setting.samples,))
    if known.discrete and own:
        return None
    if own:
        product(specs, order_of(specs) + FURTHER)  # refuses what is too large
    return known.rule(setting.samples) if known.discrete else specs


def bound_of(estimator: Estimator, setting: Setting) -> dict[str, Tree] | None:
    """Twice the variance of an estimate whose jumps are named, where two orders of the integral agree about it.

    Returns:
        None where they do not, or there is no integral.
    """
    found = _between_jumps(estimator, setting) if estimator.breaks is not None else None
    return None if found is None or found.errors[1] > ALIKE else tree.scale(found.variance, 2.0)


class Integrated(NamedTuple):
    """A rule between jumps, the variance that it gives, and what mean and variance changed by from the one before."""

    rule: Nodes
    variance: dict[str, Tree]
    errors: tuple[float, float]


def _between_jumps(estimator: Estimator, setting: Setting) -> Integrated | None:
    """The first rule whose mean is that of the order before, or the last that has not too many nodes.

    None where there are not two, or where noise that is not uniform jumps at places that nobody names.
    """
    specs, known = specification_of(estimator, setting), setting.known
    cuts = estimator.breaks(known.problem, known.params, setting.samples) if estimator.breaks else None
    if any(spec.law is not random.uniform for spec in tree.leaves(specs)):
        return None
    before, last = None, None
    for order in ORDERS:
        try:
            rule = product(specs, order, cuts)
        except ValueError:
            break
        found = moments(estimate_of(estimator, setting), rule)[:2]
        if before is not None:
            last = Integrated(rule, found[1], changes(before, found))
            if last.errors[0] <= TOLERANCE:
                break
        before = found
    return last


def admits(estimator: Estimator, setting: Setting) -> bool:
    """Whether what an estimator declares lets a setting in: its latents, and the fewest samples."""
    latents = "discrete" if setting.known.discrete else "continuous"
    return estimator.latents in ("any", latents) and setting.samples >= estimator.min_samples


def attempt(estimator: Estimator, setting: Setting) -> None:
    """One estimate, whatever it gives.

    Raises:
        ValueError: the estimator refuses the setting, or fails.
    """
    problem, params = setting.known.problem, setting.known.params
    noise = random.draw(key_of(estimator.name, params, "refusals"), specification_of(estimator, setting), torch.float64)
    estimator.estimate(problem, params, noise, estimator.init(problem, params))


def refusals(estimator: Estimator, settings: Sequence[Setting]) -> dict[str, str]:
    """The settings that an estimator does not take, by name, and why, in its own words."""
    reasons = {}
    for setting in settings:
        try:
            attempt(estimator, setting)
            noise_of(estimator, setting)
        except ValueError as reason:
            reasons[setting.name] = str(reason)
    return reasons
