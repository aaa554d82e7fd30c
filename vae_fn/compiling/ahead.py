"""What Inductor asks of the C++ compiler before any kernel, asked while the step is still being traced."""

import atexit
import contextvars
import importlib
import logging
import platform
import threading
from functools import cache
from typing import Any

import torch

KERNEL = """
#include <torch/csrc/inductor/cpp_prefix.h>
extern "C" void kernel(float* x) { at::vec::Vectorized<float>::loadu(x).store(x); }
"""
"""The least that needs the headers of all kernels."""

PATIENCE = 120.0
"""Seconds to wait until Inductor has chosen the instructions of its kernels."""

NEEDED = ("torch._inductor.codecache", "torch._inductor.cpp_builder", "torch.utils._filelock")


@cache
def begin() -> threading.Thread | None:
    """Begin in the background, once a process, what the first kernel would wait for; None where there is no need.

    Inductor builds a library for each set of vector instructions, to see which of them the compiler knows, and compiles
    the headers. Both are kept on the disk, where Inductor finds them; in this process nothing changes, and Inductor
    makes its choice by itself. On an accelerator, and where torch lacks what this needs, nothing is done.
    """
    if torch.accelerator.is_available() or platform.machine() not in ("x86_64", "AMD64"):
        return None
    try:  # here, as two threads that import the same modules at once may see halves of them
        codecache, *_ = map(importlib.import_module, NEEDED)
        vectors = importlib.import_module("torch._inductor.cpu_vec_isa")
        probes = _probes(vectors)
    except (ImportError, AttributeError):
        return None
    stopped = threading.Event()
    context = contextvars.copy_context()  # which holds the options of Inductor that are set here
    work = (_compile, codecache, vectors, probes, stopped)
    thread = threading.Thread(target=context.run, args=work, name="headers", daemon=True)

    def end() -> None:
        """Leave no compiler behind that writes into a file which the next process takes for whole."""
        stopped.set()
        thread.join()

    atexit.register(end)
    thread.start()
    return thread


def _probes(vectors: Any) -> list[Any]:
    """The sets of vector instructions of this processor, as objects that share no state with those of Inductor.

    Inductor's change while they are tried out, and what they find is remembered by their class.
    """
    there = vectors.x86_isa_checker()
    kinds = [type(isa) for isa in vectors.supported_vec_isa_list if all(flag in there for flag in str(isa).split())]
    return [type(kind.__name__, (kind,), {})() for kind in kinds]


def _compile(codecache: Any, vectors: Any, probes: list[Any], stopped: threading.Event) -> None:
    try:
        for probe in probes:
            if stopped.is_set():
                return
            bool(probe)
        for _ in range(int(PATIENCE / 0.05)):
            if stopped.wait(0.05):
                return
            if vectors.valid_vec_isa_list.cache_info().currsize:
                codecache.CppPythonBindingsCodeCache.load_pybinding(["float*"], KERNEL)
                return
    except Exception as fault:  # whoever needs it will try again, and tell
        logging.getLogger(__name__).debug("nothing was compiled ahead", exc_info=fault)
