"""Profiles, and the switch that lets checked functions be compiled."""

import os

import jaxtyping
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

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


@pytest.fixture
def unchecked():
    """Shape checking off: a checked function does not trace under `fullgraph=True`."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    torch.compiler.reset()
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(autouse=True)
def untouched_global_rng():
    """No function of the package reads or changes torch's global generator, in any test."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
