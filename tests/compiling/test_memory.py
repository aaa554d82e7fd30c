"""Memory that was freed is used again: few pages are asked for, and the environment has the last word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vae_fn.compiling import memory, pure

STEPS = """
import resource, sys, torch
from vae_fn.compiling.memory import keep_freed
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():  # eight tensors of a megabyte, freed at the end
    return [torch.ones(1 << 18) for _ in range(8)]
told = keep_freed() if sys.argv[1] == "keep" else None
for _ in range(4):
    step()
before = faults()
for _ in range(10):
    step()
print(told, faults() - before)
"""


def pages(what, **environment):
    """Whether glibc was told, and how many pages ten steps asked for; each step needs 2,048."""
    clean = {name: value for name, value in os.environ.items() if name not in memory.OWN}
    command = [sys.executable, "-c", STEPS, what]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    told, count = done.stdout.split()
    return told, int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc alone")
def test_a_step_finds_the_memory_of_the_last_one():
    told, count = pages("keep")
    assert (told, count < 200) == ("True", True)


def test_glibc_is_told_by_whoever_compiles_with_inductor(monkeypatch):
    told = []
    monkeypatch.setattr(pure, "keep_freed", lambda: told.append(True))
    pure.compile_pure(torch.sin, backend="eager")
    assert not told
    pure.compile_pure(torch.sin)
    assert told == [True]


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not HUGE.exists() or "[always]" in HUGE.read_text(), reason="of glibc alone, and of small pages")
def test_memory_that_is_given_back_is_seen():
    """A mutant: with the threshold of glibc's documentation, memory is given back after every step."""
    told, count = pages("keep", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert (told, count > 10_000) == ("False", True)
