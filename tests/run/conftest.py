"""Stopping a run in this process."""

import os
import signal

import pytest

from vae_fn.run.recorder import Recorder


@pytest.fixture
def stop_at(monkeypatch):
    """`stop_at(step)` sends this process a SIGTERM after the row of a step; `stop_at(None)` lets runs be."""
    original, wanted = Recorder._log, None

    def spied(self, row):
        original(self, row)
        if row.step == wanted:
            os.kill(os.getpid(), signal.SIGTERM)

    def arrange(step):
        nonlocal wanted
        wanted = step

    monkeypatch.setattr(Recorder, "_log", spied)
    return arrange


@pytest.fixture
def same_checkout(monkeypatch):
    """Runs in this process see one commit, also while someone works on the checkout."""
    monkeypatch.setattr("vae_fn.run.environment._checkout", lambda folder: {"commit": "0" * 40, "dirty": False})
