"""Instructions of a step, counted by valgrind: a number that load does not change, and that takes minutes.

valgrind knows no AVX-512, and shows programs a processor without it. Where there is AVX-512, what was made before
valgrind runs, Inductor's kernels, is made for AVX2 as well, with torch's own products where the row has this package's.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch._inductor import config

from vae_fn.bench.compiled import first_call
from vae_fn.bench.fresh import Say, call
from vae_fn.bench.subject import Source, clone
from vae_fn.bench.variants import VARIANTS
from vae_fn.compiling.processor import of_this_machine
from vae_fn.errors import UserError

STEPS = 5
"""Over which the count is taken."""

PATIENCE = 60.0
"""Seconds in which callgrind must have heard that it begins."""

PLAIN = {"OMP_NUM_THREADS": "1", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
"""One thread, and products of MKL without fused multiply-adds: valgrind works out each of those by a call, so that a
step takes it 20 s instead of a part of one."""

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "TORCHINDUCTOR_CPP_MARCH": "haswell"}
"""What Inductor may use and, by its first processor that had that, the C++ compiler; torch and own code heed it too."""

CALLGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no")
"""It looks at single instructions when told to: importing and compiling take a fraction of the time until then."""

TOTAL = re.compile(r"^(?:totals|summary): (\d+)$", re.MULTILINE)


def instructions(source: Source, name: str, variables: Mapping[str, str]) -> tuple[float | None, str | None]:
    """Instructions of a step, or why there is no count.

    Args:
        source: of the step.
        name: of the row.
        variables: that say where its compile cache is, of which no other process makes use.
    """
    if shutil.which("valgrind") is None:
        return None, "valgrind is not there"
    request = {"source": source, "variant": name}
    environment = {**variables, **PLAIN, **(AVX2 if "avx512f" in of_this_machine().flags else {})}
    with tempfile.TemporaryDirectory(prefix="vae_fn-count-") as folder:
        counts = Path(folder) / "counts"
        try:
            call("vae_fn.bench.instructions:prepare", request, environment)
            under = (*CALLGRIND, f"--callgrind-out-file={counts}")
            call("vae_fn.bench.instructions:count", request, environment, under=under)
            return total(counts.with_name("counts.1").read_text()) / STEPS, None
        except (UserError, RuntimeError, OSError) as fault:
            lines = [line for line in str(fault).splitlines() if line.strip()]
            return None, f"valgrind did not run it: {[type(fault).__name__, *lines][-1][:200]}"


def prepare(request: Mapping[str, Any], say: Say) -> None:
    """In a new process: compile the row, so that under valgrind it is only loaded.

    Raises:
        UserError: nothing of it would be left to count.
    """
    variant = VARIANTS[request["variant"]]
    if variant.lacking():
        raise UserError("it knows no AVX-512")
    if variant.compiled and "avx512f" in of_this_machine().flags and not hasattr(config.cpp, "march"):
        raise UserError("it knows no AVX-512, for which Inductor of this torch compiles here whatever it is told")
    first_call(request, say)


def count(request: Mapping[str, Any], say: Say) -> None:
    """In a new process under callgrind: take steps of which the last few are counted."""
    del say
    variant = VARIANTS[request["variant"]]
    subject = Source(*request["source"]).subject(variant.settings)
    advance = variant.make(subject)
    state = advance(advance(clone(subject.state), 1), STEPS)
    begin = ["callgrind_control", "--instr=on", str(os.getpid())]
    subprocess.run(begin, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    torch._C._valgrind_toggle()
    advance(state, STEPS)
    torch._C._valgrind_toggle_and_dump_stats()


def total(counts: str) -> int:
    """The instructions that a file of callgrind tells.

    Raises:
        RuntimeError: it tells none.
    """
    if not (found := TOTAL.findall(counts)):
        raise RuntimeError("callgrind wrote no total")
    return int(found[-1])
