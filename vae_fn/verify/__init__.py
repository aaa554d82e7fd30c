"""Verification of stochastic code: exact, bounded and sampled tests of means, property checks, mutants.

Nothing is imported before it is used: what reads the ledger, as the pytest plugin does, stays quick to load.
"""

import importlib
from typing import Any

_PLACES = {
    "integrals": ("exact", "exact_variance"),
    ".gradients.oracles.moments": ("moments", "Moments"),
    ".gradients.oracles.nodes": ("Nodes", "enumerate_states"),
    "sampled": ("mean",),
    "bounded": ("mean_bounded",),
    "distribution_functions": ("law",),
    "covariance": ("uncorrelated",),
    "two_samples": ("same_mean", "lower_variance"),
    "draws": ("draws_of", "seeded"),
    "report": ("Report",),
    "problems": ("Known",),
    "estimators.unbiased": ("unbiased",),
    "estimators.battery": ("estimator",),
    "batteries.functions": ("function",),
    "batteries.steps": ("step",),
    "subjects": ("Example",),
    "mutations.by_kind": ("mutate",),
    "mutations.fates": ("Mutated",),
    "properties.parity": ("parity",),
    "properties.pure": ("pure",),
    "properties.no_recompile": ("no_recompile",),
    "properties.finite": ("finite",),
    "properties.gradients": ("gradients",),
    "properties.permutation": ("permutation",),
    "properties.additive": ("additive",),
    "properties.optimizer": ("optimizer",),
    "distributions.battery": ("distribution",),
    "distributions.scale_map": ("scale_map",),
    "verdict": ("Verdict", "VerificationError", "Rejected", "Biased", "Inconclusive", "Underpowered"),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'vae_fn.verify' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
