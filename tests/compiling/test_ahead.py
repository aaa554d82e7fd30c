"""What is compiled ahead of a step: begun once, by Inductor alone, and nothing of it can break a step."""

import importlib
import logging

import pytest
import torch

from vae_fn.compiling import ahead, compile_pure


@pytest.fixture
def cold(monkeypatch):
    """As in a new process without an accelerator, with the kernel of nothing put into a list."""
    found = []
    codecache = importlib.import_module("torch._inductor.codecache")
    monkeypatch.setattr(
        codecache.CppPythonBindingsCodeCache, "load_pybinding", lambda *args: found.append(args), raising=True
    )
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    ahead.begin.cache_clear()
    yield found
    ahead.begin.cache_clear()


def test_it_is_begun_by_the_first_program_for_inductor(cold):
    compile_pure(torch.sin, backend="eager")
    assert cold == []
    for _ in range(3):
        compile_pure(torch.sin)
    ahead.begin().join()
    assert cold == [(["float*"], ahead.KERNEL)]


def test_on_an_accelerator_nothing_is_compiled_ahead(cold, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert ahead.begin() is None
    assert cold == []


def test_a_torch_without_these_modules_does_without(cold, monkeypatch):
    monkeypatch.setattr(ahead, "NEEDED", ("torch.nothing_of_the_kind",))
    assert ahead.begin() is None
    assert cold == []


def test_a_fault_is_left_for_the_step_to_report(cold, monkeypatch, caplog):
    def fail(*args):
        raise OSError("no compiler")

    codecache = importlib.import_module("torch._inductor.codecache")
    monkeypatch.setattr(codecache.CppPythonBindingsCodeCache, "load_pybinding", fail)
    with caplog.at_level(logging.DEBUG, ahead.__name__):
        ahead.begin().join()
    assert "headers were not compiled ahead" in caplog.text
    assert "no compiler" in caplog.text


@pytest.mark.compiled
def test_the_kernel_compiles():
    codecache = importlib.import_module("torch._inductor.codecache")
    assert codecache.CppPythonBindingsCodeCache.load_pybinding(["float*"], ahead.KERNEL)
