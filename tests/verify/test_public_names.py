"""What `from vae_fn import verify` offers, whatever was imported before."""

import importlib
import pkgutil
from types import ModuleType

import pytest

from vae_fn import verify


def test_no_module_stands_in_the_place_of_a_function():
    for module in pkgutil.walk_packages(verify.__path__, "vae_fn.verify."):
        importlib.import_module(module.name)
    for name in dir(verify):
        assert not isinstance(getattr(verify, name), ModuleType) or name == "strategies", name


def test_unknown_names_are_named():
    with pytest.raises(AttributeError, match="has no attribute 'unbaised'"):
        verify.unbaised  # noqa: B018
