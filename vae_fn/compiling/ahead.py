"""What Inductor asks of the C++ compiler before any kernel, asked while the step is still being traced."""

import importlib
import logging
import threading
from functools import cache

import torch

KERNEL = """
#include <torch/csrc/inductor/cpp_prefix.h>
extern "C" void kernel(float* x) { at::vec::Vectorized<float>::loadu(x).store(x); }
"""
"""The least that needs the vector instructions of the processor and the headers of all kernels."""


NEEDED = ("torch._inductor.codecache", "torch._inductor.cpp_builder", "torch.utils._filelock")


@cache
def begin() -> threading.Thread | None:
    """Compile a kernel of nothing in the background, once a process; None where steps may run on an accelerator.

    For it Inductor tries out which vector instructions the compiler knows, and compiles the headers: ten seconds with a
    cold cache, in which a step's trace and the code for it need no compiler. What is found is kept in Inductor's own
    cache, on the disk and in this process. A fault here is no fault yet: the step meets it again, and reports it.
    """
    if torch.accelerator.is_available():
        return None
    try:  # here, as two threads that import the same modules at once may see halves of them
        for name in NEEDED:
            importlib.import_module(name)
    except ImportError:
        return None
    thread = threading.Thread(target=_compile, name="headers", daemon=True)
    thread.start()
    return thread


def _compile() -> None:
    try:
        torch._inductor.codecache.CppPythonBindingsCodeCache.load_pybinding(["float*"], KERNEL)
    except Exception as fault:
        logging.getLogger(__name__).debug("headers were not compiled ahead", exc_info=fault)
