"""What is compiled ahead of a step: begun once, by Inductor alone, changing nothing of what Inductor makes."""

import importlib
import logging
import os
import platform
import subprocess
import sys
import threading

import pytest
import torch

from vae_fn.compiling import ahead, compile_pure


@pytest.fixture
def cold(monkeypatch):
    """As in a new process without an accelerator; the headers asked for."""
    asked = []
    codecache = importlib.import_module("torch._inductor.codecache")
    monkeypatch.setattr(codecache.CppPythonBindingsCodeCache, "load_pybinding", lambda *args: asked.append(args))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    ahead.begin.cache_clear()
    with importlib.import_module("torch._inductor.config").patch({"cpp.vec_isa_ok": None}):
        yield asked
    ahead.begin.cache_clear()


@pytest.fixture
def vectors():
    return importlib.import_module("torch._inductor.cpu_vec_isa")


def test_it_is_begun_by_the_first_program_for_inductor(cold):
    compile_pure(torch.sin, backend="eager")
    assert cold == []
    for _ in range(3):
        compile_pure(torch.sin)
    ahead.begin().join()
    assert cold == [(["float*"], ahead.KERNEL)]


def test_headers_are_those_for_what_inductor_has_chosen(cold, vectors, monkeypatch):
    """A choice in another thread, while Inductor makes its own, could leave it other flags."""
    order = []
    monkeypatch.setattr(vectors, "valid_vec_isa_list", lambda: order.append((threading.current_thread(), trusts())))
    monkeypatch.setattr(ahead, "_compile", lambda codecache: order.append(threading.current_thread()))
    thread = ahead.begin()
    thread.join()
    assert order == [(threading.current_thread(), True), thread]
    assert not trusts()


def trusts():
    return importlib.import_module("torch._inductor.config").cpp.vec_isa_ok


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


@pytest.mark.parametrize("where", ["the choice", "the headers"])
def test_a_fault_breaks_nothing(where, cold, vectors, monkeypatch, caplog):
    def fail(*args):
        raise OSError("no compiler")

    codecache = importlib.import_module("torch._inductor.codecache")
    place = {"the choice": (vectors, "valid_vec_isa_list")}.get(
        where, (codecache.CppPythonBindingsCodeCache, "load_pybinding")
    )
    monkeypatch.setattr(*place, fail)
    with caplog.at_level(logging.DEBUG, ahead.__name__):
        if thread := ahead.begin():
            thread.join()
    assert (thread is None) == (where == "the choice")
    assert "nothing was compiled ahead" in caplog.text
    assert "no compiler" in caplog.text


@pytest.mark.parametrize(
    ("machine", "said", "expected"),
    [("x86_64", None, {"cpp.vec_isa_ok": True}), ("x86_64", False, {}), ("aarch64", None, {})],
)
def test_the_compiler_is_trusted_unless_the_environment_says_otherwise(machine, said, expected, cold, monkeypatch):
    config = importlib.import_module("torch._inductor.config")
    monkeypatch.setattr(ahead.platform, "machine", lambda: machine)
    with config.patch({"cpp.vec_isa_ok": said}):
        assert ahead.trusted() == expected


PROGRAM = """
import torch
from vae_fn.compiling import ahead, compile_pure
way = {way!r}
if way == "without":
    ahead.begin = lambda: None
compile_by = torch.compile if way == "torch" else compile_pure
compile_by(lambda x: torch.sin(x) + 1)(torch.ones(64))
if way == "with" and (thread := ahead.begin()):
    thread.join()
"""


@pytest.mark.compiled
@pytest.mark.skipif(
    torch.accelerator.is_available() or platform.machine() != "x86_64", reason="nothing is compiled ahead here"
)
def test_the_kernels_are_those_without_it(tmp_path):
    """The names of kernels hold their code and the compiler's flags; nothing else was compiled but the one kernel.

    By itself torch compiles, besides, what tries out the instructions: all kernels made here are among its own.
    """
    made = {}
    for way in ("torch", "without", "with"):
        cache = tmp_path / way
        variables = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
        program = [sys.executable, "-c", PROGRAM.format(way=way)]
        subprocess.run(program, env=variables, check=True, timeout=300)
        made[way] = {file.name for file in cache.rglob("*.cpp")}
    assert made["without"] < made["with"]
    assert len(made["with"] - made["without"]) == 1
    assert made["without"] < made["torch"]
