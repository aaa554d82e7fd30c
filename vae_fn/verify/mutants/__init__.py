"""A registry of deliberately wrong versions, each with the check that must reject it.

A survivor is a property that is missing. The registry is open: a part of the package that brings a check brings the
versions that the check is there to catch, as a module of this folder with a tuple `MUTANTS`.
"""

import importlib
import pkgutil

from vae_fn.verify.mutants.mutant import Mutant as Mutant
from vae_fn.verify.mutants.mutant import is_killed as is_killed


def registry() -> tuple[Mutant, ...]:
    """All mutants, module after module."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "mutant")
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(mutant for module in modules for mutant in module.MUTANTS)
