"""What the inner runs of pytest are made of."""

HEAD = """
import os, pytest
from vae_fn.verify import ledger

def claim(times=1, alpha=1e-9, test="test_it"):
    for _ in range(times):
        ledger.assertion("mean", "x", alpha, f"VAE_FN_EPOCH=0 pytest 'test_statistical.py::{test}'")
"""
ONE = "def test_it(): claim()"
REPLAY = "replay: VAE_FN_EPOCH=0 pytest 'test_statistical.py::test_it'"


def said(result):
    """The plugin's lines of the summary."""
    return [line for line in result.outlines if line.startswith(("statistical: ", "mutants: "))]
