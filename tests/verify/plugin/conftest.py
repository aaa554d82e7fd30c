"""Runs of pytest inside a test."""

import pytest

from tests.verify.plugin.runs import HEAD
from vae_fn.verify import ledger


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """What the inner runs execute in this process counts in them alone."""
    monkeypatch.setattr(ledger, "ENTRIES", [])
    monkeypatch.setattr(ledger, "TRIALS", [])


@pytest.fixture
def run(pytester, monkeypatch):
    """Run the body of a statistical test module, with warnings as errors, and print as at a desk.

    Where these variables say that a server runs it, pytest repeats each failure's whole message in its summary.
    """
    for variable in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(variable, raising=False)

    def running(body, *args, conftest="", ini="", subprocess=False):
        pytester.makepyfile(test_statistical=HEAD + body)
        pytester.makeconftest(conftest)
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
        return (pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess)(*args)

    return running
