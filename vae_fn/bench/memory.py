"""Memory of a step.

On a CPU: what the high-water mark of resident memory rises by over a few steps, on top of the state,
after what the allocator had kept was given back. On CUDA: the allocator's own high-water mark.
"""

import contextlib
import ctypes
import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

MEASURE = {
    "cpu": "the state, and what the high-water mark of resident memory rises by over 3 steps",
    "cuda": "the high-water mark of torch's allocator over 3 steps",
}
"""What is measured, by kind of device."""


def peak_bytes(run: Callable[[], Any], held: int, device: torch.device) -> int | None:
    """The most memory that a step takes; None where the system does not tell.

    Args:
        run: runs some steps that have run before.
        held: bytes of the state.
        device: where.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device)
    _give_back()
    if not _reset_high_water():
        return None
    before = _status("VmRSS")
    run()
    return held + max(0, _status("VmHWM") - before)


def process_peak_bytes() -> int:
    """The most that this process, compiling and all, has been resident with."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _give_back() -> None:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reset_high_water() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
