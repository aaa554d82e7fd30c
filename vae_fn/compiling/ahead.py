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

NEEDED = ("torch._inductor.config", "torch._inductor.codecache", "torch._inductor.cpu_vec_isa", "torch.utils._filelock")


@cache
def begin() -> threading.Thread | None:
    """Begin in the background, once a process, what the first kernel would wait for; None where there is no need.

    That is to compile the headers of all kernels. For which instructions, Inductor chooses here and now, for the whole
    process; the library stays on the disk, where it looks for it. On an accelerator, where torch lacks what this needs,
    and without a compiler, nothing is done.
    """
    if torch.accelerator.is_available() or not _x86():
        return None
    try:  # here, as two threads that import the same modules at once may see halves of them
        config, codecache, vectors, _ = map(importlib.import_module, NEEDED)
        with config.patch(trusted()):
            vectors.valid_vec_isa_list()  # not by two threads at once, as it changes flags while it looks
    except Exception as fault:  # whoever needs it will try again, and tell
        _log(fault)
        return None
    context = contextvars.copy_context()  # which holds the options of Inductor that are set here
    thread = threading.Thread(target=context.run, args=(_compile, codecache), name="headers", daemon=True)
    atexit.register(thread.join)  # leave no compiler behind that writes a file which the next process takes for whole
    thread.start()
    return thread


def trusted() -> dict[str, Any]:
    """The option by which Inductor takes the processor's vector instructions to be known to the compiler.

    Else it would compile torch's headers several times more, once for each set of them. But a compiler of C++20, which
    these headers need, knows the instructions that they use, and torch's own libraries have been built by one; a few
    more recent instructions Inductor tries out in any case. What was said when a program is made goes before, such as
    `TORCHINDUCTOR_VEC_ISA_OK=0` for a torch without vector functions, which turns vectors off.
    """
    from torch._inductor import config

    return {"cpp.vec_isa_ok": True} if _x86() and config.cpp.vec_isa_ok is None else {}


def _x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def _compile(codecache: Any) -> None:
    try:
        codecache.CppPythonBindingsCodeCache.load_pybinding(["float*"], KERNEL)
    except Exception as fault:
        _log(fault)


def _log(fault: Exception) -> None:
    logging.getLogger(__name__).debug("nothing was compiled ahead", exc_info=fault)
