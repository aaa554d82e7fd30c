"""Which code multiplies matrices in a compiled function on a CPU.

torch's own choice is MKL for float32, and oneDNN for bfloat16. oneDNN, which comes with torch too, and this package's
own code for processors with AVX-512 work in float32 as well: they all differ by rounding. The own code multiplies
bfloat16 where the processor has an instruction for that.
"""

import importlib
import warnings
from functools import cache
from typing import Any, Literal, TypeAlias, get_args

from vae_fn.compiling import processor, tiles

Gemm: TypeAlias = Literal["tiled", "onednn", "torch"]
"""This package's own code for all that it takes, oneDNN for large float32 products, or torch's own choice for all."""

FASTEST: dict[tuple[str, str], Gemm] = {("AuthenticAMD", "26"): "onednn", ("AuthenticAMD", "25"): "tiled"}
"""By vendor and family of the processor, what was seen to win there: on Zen 5 and on Zen 4 (benchmarks/README.md).

On Zen 5 the package's own code has not been measured. Family 25 is Zen 3 as well, which lacks AVX-512.
"""

PASSES = {"tiled": "tiled.Tiled", "onednn": "onednn.OneDNN"}


def default_gemm() -> Gemm:
    """The way that was measured to win on processors of this kind; torch's own choice on all others."""
    here = processor.of_this_machine()
    fastest = FASTEST.get((here.vendor, here.family), "torch")
    return "torch" if fastest == "tiled" and not processor.has_avx_512() else fastest


def check_gemm(gemm: Any, inductor: bool) -> None:
    """Hold a choice of the code that multiplies matrices against those that there are.

    Args:
        gemm: the choice.
        inductor: whether the backend is Inductor, the only one that leaves it.

    Raises:
        ValueError: it is none of them, or there is none to make.
    """
    if gemm not in (*get_args(Gemm), None):
        raise ValueError(f"gemm={gemm!r} is unknown: use one of {', '.join(get_args(Gemm))}, or None for the default")
    if gemm is not None and not inductor:
        raise ValueError(f"gemm={gemm!r} is a choice of Inductor's: leave it out with another backend")


def gemm_options(gemm: Gemm | None) -> dict[str, Any]:
    """The options of `torch.compile` that send products through `gemm`; None is `default_gemm()`."""
    chosen = gemm or default_gemm()
    if chosen == "torch":
        return {}
    route = _route(chosen)
    return {} if route is None else {"post_grad_custom_post_pass": route}


def used_gemm() -> Gemm:
    """What products go through by default, here and with this torch; waits until own code is compiled."""
    chosen = default_gemm() if gemm_options(None) else "torch"
    return "torch" if chosen == "tiled" and not has_tiles() else chosen


def has_tiles() -> bool:
    """Whether this package's own code works here."""
    return processor.has_avx_512() and _route("tiled") is not None and tiles.failure() is None


@cache
def _route(gemm: Gemm) -> Any:
    """The pass over the graph, once for a process; None, with a warning, where what it needs is missing."""
    module, name = PASSES[gemm].split(".")
    try:
        if gemm == "tiled" and not processor.has_avx_512():
            raise LookupError("the processor lacks AVX-512, or ATEN_CPU_CAPABILITY forbids it")
        return getattr(importlib.import_module(f"vae_fn.compiling.{module}"), name)()
    except (ImportError, AttributeError, LookupError, AssertionError, OSError, RuntimeError) as fault:
        warnings.warn(f"products stay with torch's own choice, not gemm={gemm!r}: {fault}", stacklevel=2)
        return None
