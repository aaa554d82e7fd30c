"""What is known of the processor."""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

AVX_512 = {"avx512f", "avx512vl", "fma", "clflushopt"}
"""What products of float32 by this package's own code need, in Linux' names."""

AVX_512_BF16 = {"avx512bw", "avx512_bf16"}
"""What those of bfloat16 need besides."""


LESS = ("avx2", "default")
"""The values of ATEN_CPU_CAPABILITY that tell torch to do without AVX-512: it ignores those that it does not know."""


class Processor(NamedTuple):
    """As Linux tells of it; empty where it does not."""

    vendor: str
    family: str
    flags: frozenset[str]


@cache
def of_this_machine() -> Processor:
    """The processor that this runs on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    vendor, family, flags = (told.get(name, "") for name in ("vendor_id", "cpu family", "flags"))
    return Processor(vendor, family, frozenset(flags.split()))


def has_avx_512() -> bool:
    """Whether the processor is known to have what the package's own code needs, and torch is not told to do without."""
    return of_this_machine().flags >= AVX_512 and os.environ.get("ATEN_CPU_CAPABILITY") not in LESS


def has_avx_512_bf16() -> bool:
    """Whether it is known to have what that needs for bfloat16."""
    return has_avx_512() and of_this_machine().flags >= AVX_512_BF16
