"""What an estimator is checked on: problems and numbers of samples, and its noise there."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from vae_fn import random
from vae_fn.gradients import Estimator
from vae_fn.gradients.oracles.moments import FURTHER, order_of
from vae_fn.gradients.oracles.nodes import Nodes, product
from vae_fn.types import Tree
from vae_fn.verify.problems import Known, bernoulli_decoder, bernoulli_latents, categorical, linear_gaussian
from vae_fn.verify.seeds import key_of


class Setting(NamedTuple):
    """A problem and a number of samples at which an estimator is checked."""

    known: Known
    samples: int

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.known.name}, K={self.samples}"


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


def estimate_of(estimator: Estimator, setting: Setting) -> Callable[[Tree], dict[str, Tree]]:
    """The function of one draw of noise whose mean is checked: `{"value", "grads"}` at the problem's parameters."""
    problem, params = setting.known.problem, setting.known.params
    state = estimator.init(problem, params)

    def estimate(noise: Tree) -> dict[str, Tree]:
        found = estimator.estimate(problem, params, noise, state)
        return {"value": found.value, "grads": found.grads}

    return estimate


def specification_of(estimator: Estimator, setting: Setting) -> Tree:
    """The noise of an estimator there, as it says itself."""
    return estimator.noise_like(setting.known.problem, setting.known.params, setting.samples)


def noise_of(estimator: Estimator, setting: Setting) -> Tree | Nodes:
    """What is integrated over: the noise, or all states where the latents are discrete.

    Raises:
        ValueError: the estimator refuses the setting, or its noise cannot be enumerated or integrated.
    """
    known, specs = setting.known, specification_of(estimator, setting)
    own = specs != known.problem.q(known.params).noise_like((setting.samples,))
    if known.discrete and own:
        raise ValueError("its noise is not that of the latents, so its states cannot be enumerated")
    if own:
        product(specs, order_of(specs) + FURTHER)  # refuses what is too large
    return known.rule(setting.samples) if known.discrete else specs


def refusals(estimator: Estimator, settings: Sequence[Setting]) -> dict[str, str]:
    """The settings that an estimator does not take, by name, and why, in its own words."""
    reasons = {}
    for setting in settings:
        try:
            noise_of(estimator, setting)
            key = key_of(estimator.name, setting.known.params, "refusals")
            estimate_of(estimator, setting)(random.draw(key, specification_of(estimator, setting), torch.float64))
        except ValueError as reason:
            reasons[setting.name] = str(reason)
    return reasons
