"""Estimators that are three coefficients of their log-weights."""

from typing import Any

from vae_fn.gradients.estimator import Estimator, Latents, stateless
from vae_fn.gradients.wires import Rule, pull


def from_coefficients(
    name: str, rule: Rule, *, unbiased_for: str, latents: Latents = "continuous", **settings: Any
) -> Estimator:
    """The stateless estimator of a rule `(log_weights, beta) -> Coefficients`.

    A rule that pulls the path takes continuous latents, one that does not takes any. The other settings are those of
    `stateless`.
    """
    return stateless(
        name,
        lambda problem, params, noise: pull(problem, params, noise, rule),
        unbiased_for=unbiased_for,
        latents=latents,
        rule=rule,
        **settings,
    )
