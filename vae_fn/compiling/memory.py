"""Memory that a step has freed stays with the process, for the next step."""

import ctypes
import os
from functools import cache

KEPT = 1 << 29
"""Bytes at the end of the heap that are not given back."""

LARGEST = 1 << 25
"""Bytes of the largest tensor that comes from the heap; glibc allows no more."""

OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
"""By these variables of the environment users choose for themselves, or by a `glibc.malloc` in `GLIBC_TUNABLES`."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@cache
def keep_freed() -> bool:
    """Tell glibc to keep freed memory, once a process, and say whether it was told.

    By itself glibc gives the end of the heap back as soon as some megabytes are free there, which is after every step,
    unless something happens to lie behind them: the next step then finds its memory page by page, in a quarter of its
    time (benchmarks/NOTES.md). Elsewhere than on Linux with glibc, and where the environment has chosen, nothing
    changes.
    """
    chosen = any(name in os.environ for name in OWN) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if chosen or "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ()):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, KEPT))
