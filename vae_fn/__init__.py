"""Variational autoencoders as pure functions in PyTorch.

PYTEST_DONT_REWRITE: the distribution has a pytest plugin, so that pytest would otherwise warn about a package that was
imported before it started.
"""

import importlib
from types import ModuleType

_SUBMODULES = (
    "bench",
    "compiling",
    "data",
    "distributions",
    "evaluation",
    "gradients",
    "lab",
    "models",
    "optimization",
    "random",
    "training",
    "tree",
    "types",
    "verify",
)


def __getattr__(name: str) -> ModuleType:
    """Import a part of the package when it is first used: importing `vae_fn` alone loads nothing."""
    if name in _SUBMODULES:
        return importlib.import_module(f"vae_fn.{name}")
    raise AttributeError(f"module 'vae_fn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_SUBMODULES)
