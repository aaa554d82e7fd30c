"""Which processes count a row's instructions, and with what; the processes are made up."""

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.bench.canned import SOURCE
from vae_fn.bench import VARIANTS, instructions
from vae_fn.compiling.processor import Processor
from vae_fn.errors import UserError

PREPARE, COUNT = "vae_fn.bench.instructions:prepare", "vae_fn.bench.instructions:count"


@pytest.fixture
def asked(monkeypatch):
    """Processes that answer at once, and leave what callgrind would; what they were asked."""
    calls = []

    def call(function, request, environment, under=()):
        calls.append((function, request, environment, under))
        for option in under:
            name, _, file = option.partition("=")
            if name == "--callgrind-out-file":
                Path(f"{file}.1").write_text("events: Ir\nsummary: 600\n\nfn=(0)\n16 600\n\ntotals: 600\n")

    monkeypatch.setattr(instructions.shutil, "which", lambda name: name)
    monkeypatch.setattr(instructions, "call", call)
    return calls


def test_without_valgrind_there_is_no_count(monkeypatch):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert instructions.instructions(SOURCE, "eager", {}) == (None, "valgrind is not there")


def test_what_valgrind_does_not_run_has_no_count(monkeypatch):
    def call(function, request, environment):
        raise UserError("a process was ended by signal 4")

    monkeypatch.setattr(instructions.shutil, "which", lambda name: name)
    monkeypatch.setattr(instructions, "call", call)
    count, why = instructions.instructions(SOURCE, "eager", {})
    assert (count, why) == (None, "valgrind did not run it: a process was ended by signal 4")


def test_a_file_of_callgrind_without_a_total_is_no_count(asked, monkeypatch):
    monkeypatch.setattr(instructions, "TOTAL", re.compile("no such line"))
    why = "valgrind did not run it: callgrind wrote no total"
    assert instructions.instructions(SOURCE, "eager", {}) == (None, why)


def test_callgrind_that_does_not_hear_is_waited_for_no_longer_than_a_while(tmp_path, monkeypatch):
    deaf = tmp_path / "callgrind_control"
    deaf.write_text("#!/bin/sh\nexec sleep 60\n")
    deaf.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(instructions, "PATIENCE", 0.1)
    with pytest.raises(subprocess.TimeoutExpired, match="callgrind_control"):
        instructions.count({"source": ("tests.bench.toys:subject", {}), "variant": "eager"}, print)


@pytest.mark.parametrize("known", [True, False], ids=["AVX-512", "none"])
def test_a_row_is_compiled_before_valgrind_runs_it_for_avx2_where_there_is_avx_512(known, asked, monkeypatch):
    here = Processor("", "", frozenset({"avx2", "avx512f"} if known else {"avx2"}))
    monkeypatch.setattr(instructions, "of_this_machine", lambda: here)
    assert instructions.instructions(SOURCE, "donated", {"TORCHINDUCTOR_CACHE_DIR": "there"}) == (120.0, None)
    (first, *given, before), (second, *same, under) = asked
    assert (first, second, before) == (PREPARE, COUNT, ())
    assert given == same, "else the second would compile anew"
    assert given[0] == {"source": SOURCE, "variant": "donated"}
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "TORCHINDUCTOR_CPP_MARCH": "haswell"} if known else {}
    plain = {"OMP_NUM_THREADS": "1", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    assert given[1] == {"TORCHINDUCTOR_CACHE_DIR": "there"} | plain | avx2
    assert under[0] == "valgrind"


def test_a_row_of_nothing_but_avx_512_is_not_counted_as_another_one(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    with pytest.raises(UserError, match="it knows no AVX-512"):
        instructions.prepare({"source": SOURCE, "variant": "tiled"}, print)
    assert [name for name, variant in VARIANTS.items() if variant.lacking()] == ["tiled"]


def test_a_row_that_torch_compiles_for_avx_512_whatever_it_is_told_is_not_begun(monkeypatch):
    monkeypatch.setattr(instructions, "of_this_machine", lambda: Processor("", "", frozenset({"avx2", "avx512f"})))
    monkeypatch.setattr(instructions, "config", SimpleNamespace(cpp=SimpleNamespace()))
    monkeypatch.setattr(instructions, "first_call", lambda request, say: request["variant"])
    with pytest.raises(UserError, match="it knows no AVX-512, for which"):
        instructions.prepare({"source": SOURCE, "variant": "donated"}, print)
    instructions.prepare({"source": SOURCE, "variant": "eager"}, print)
