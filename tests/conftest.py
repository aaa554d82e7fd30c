"""Profiles, the mark of what compiles, and the guard of the global generator."""

import os

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["pytester"]

settings.register_profile("dev", max_examples=20, derandomize=True, deadline=None)
settings.register_profile(
    "ci",
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.register_profile("nightly", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("VAE_FN_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "fresh_compiler" in item.fixturenames:
            item.add_marker("compiled")


@pytest.fixture
def fresh_compiler():
    """For whatever compiles: what was compiled before does not count. Shape checks cannot be traced and must be off."""
    torch.compiler.reset()


@pytest.fixture(autouse=True)
def untouched_global_rng():
    """No function of the package reads or changes torch's global generator, in any test."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
