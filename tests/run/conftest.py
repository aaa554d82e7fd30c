"""Signals, and stopping a run in this process."""

import os
import signal

import pytest

from vae_fn.run.interrupts import SIGNALS
from vae_fn.run.recorder import Recorder


@pytest.fixture(autouse=True)
def heeded_signals():
    """Signals are heeded here and in new processes, also where a shell or nohup ignores them for all it starts."""
    ignored = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) is signal.SIG_IGN}
    for number in ignored:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in ignored.items():
        signal.signal(number, handler)


@pytest.fixture
def stop_at(monkeypatch):
    """`stop_at(step)` sends this process one SIGTERM, after the row of a step; `stop_at(None)` lets runs be."""
    original, wanted = Recorder._log, None

    def spied(self, row):
        nonlocal wanted
        original(self, row)
        if row.step == wanted:
            wanted = None
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
