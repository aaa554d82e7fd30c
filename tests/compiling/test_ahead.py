"""What is compiled ahead of a step: begun once, by Inductor alone, changing nothing of what Inductor makes."""

import importlib
import logging
import os
import platform
import subprocess
import sys

import pytest
import torch

from vae_fn.compiling import ahead, compile_pure


@pytest.fixture
def cold(monkeypatch):
    """As in a new process without an accelerator, where trying out instructions does nothing; the headers asked for."""
    asked = []
    codecache = importlib.import_module("torch._inductor.codecache")
    monkeypatch.setattr(codecache.CppPythonBindingsCodeCache, "load_pybinding", lambda *args: asked.append(args))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(ahead, "_probes", lambda vectors: [])
    monkeypatch.setattr(ahead, "PATIENCE", 0.5)
    ahead.begin.cache_clear()
    yield asked
    ahead.begin.cache_clear()


@pytest.fixture
def vectors():
    return importlib.import_module("torch._inductor.cpu_vec_isa")


@pytest.fixture
def choice(vectors, monkeypatch):
    """Whether Inductor has chosen its instructions, which a test may say."""

    class Choice:
        currsize = 0

        def cache_info(self):
            return self

    made = Choice()
    monkeypatch.setattr(vectors, "valid_vec_isa_list", made)
    return made


def test_it_is_begun_by_the_first_program_for_inductor(cold, choice):
    choice.currsize = 1
    compile_pure(torch.sin, backend="eager")
    assert cold == []
    for _ in range(3):
        compile_pure(torch.sin)
    ahead.begin().join()
    assert cold == [(["float*"], ahead.KERNEL)]


def test_headers_wait_until_inductor_has_chosen(cold, choice):
    thread = ahead.begin()
    thread.join()
    assert cold == []


@pytest.mark.parametrize("lacking", ["a module", "an accelerator's absence", "x86"])
def test_where_it_makes_no_sense_nothing_is_done(lacking, cold, monkeypatch):
    match lacking:
        case "a module":
            monkeypatch.setattr(ahead, "NEEDED", ("torch.nothing_of_the_kind",))
        case "x86":
            monkeypatch.setattr(ahead.platform, "machine", lambda: "aarch64")
        case _:
            monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert ahead.begin() is None
    assert cold == []


def test_a_fault_breaks_nothing(cold, choice, monkeypatch, caplog):
    def fail(*args):
        raise OSError("no compiler")

    choice.currsize = 1
    codecache = importlib.import_module("torch._inductor.codecache")
    monkeypatch.setattr(codecache.CppPythonBindingsCodeCache, "load_pybinding", fail)
    with caplog.at_level(logging.DEBUG, ahead.__name__):
        ahead.begin().join()
    assert "nothing was compiled ahead" in caplog.text
    assert "no compiler" in caplog.text


def test_what_is_tried_out_shares_nothing_with_inductor(vectors):
    """The objects of Inductor are remembered by class and text, and hold flags that a trial changes."""
    for probe in ahead._probes(vectors):
        (own,) = [isa for isa in vectors.supported_vec_isa_list if str(isa) == str(probe)]
        before = own._arch_flags
        assert (probe._arch_flags, probe != own) == (before, True)
        probe._arch_flags += " -mtried"
        assert own._arch_flags == before


PROGRAM = """
import torch
from vae_fn.compiling import ahead, compile_pure
if {without}:
    ahead.begin = lambda: None
compile_pure(lambda x: torch.sin(x) + 1)(torch.ones(64))
if thread := ahead.begin():
    thread.join()
"""


@pytest.mark.compiled
@pytest.mark.skipif(
    torch.accelerator.is_available() or platform.machine() != "x86_64", reason="nothing is compiled ahead here"
)
def test_the_kernels_are_those_without_it(tmp_path):
    """The names of kernels hold their code and the compiler's flags; nothing else was compiled but the one kernel."""
    made = {}
    for without in (True, False):
        cache = tmp_path / str(without)
        variables = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
        program = [sys.executable, "-c", PROGRAM.format(without=without)]
        subprocess.run(program, env=variables, check=True, timeout=300)
        made[without] = {file.name for file in cache.rglob("*.cpp")}
    assert made[True] < made[False]
    assert len(made[False] - made[True]) == 1
