"""Profiles, the mark of what compiles, and the guard of the global generator."""

import pytest
import torch
from hypothesis import settings
from jaxtyping import config

from tests.compiling.graphs import graph
from vae_fn.compiling import epoch, replaying
from vae_fn.verify.strategies import register_profiles

pytest_plugins = ["pytester"]

settings.load_profile(register_profiles())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "fresh_compiler" in item.fixturenames:
            item.add_marker("compiled")


@pytest.fixture
def fresh_compiler():
    """For whatever compiles: what was compiled before does not count. Shape checks cannot be traced and must be off."""
    torch.compiler.reset()


@pytest.fixture
def replays(monkeypatch):
    """The CPU is taken for a CUDA device whose graphs do anew what they captured. The devices of all are told."""
    captured = []
    monkeypatch.setattr(epoch, "_device", lambda state: "cuda")
    monkeypatch.setattr(replaying, "cuda_graph", lambda *given: captured.append(given[-1]) or graph(*given))
    return captured


@pytest.fixture
def unchecked():
    """Shape checks are off, which would speak first: as whoever uses the package has it."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)


@pytest.fixture(autouse=True)
def untouched_global_rng():
    """No function of the package reads or changes torch's global generator, in any test."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
