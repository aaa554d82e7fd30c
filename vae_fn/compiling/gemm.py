"""Which library multiplies large float32 matrices in a compiled function on a CPU.

torch's own choice is MKL. oneDNN, which comes with torch too, works in float32 as well: the two differ by rounding.
"""

import warnings
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

Gemm: TypeAlias = Literal["onednn", "torch"]
"""oneDNN for what is large enough, or torch's own choice for everything."""

ZEN_5 = ("AuthenticAMD", "26")
"""Vendor and family of the processors on which oneDNN was seen to win, by about two, before `vae-fn bench` was there.

On Zen 4 (family 25) a step is slower with it (benchmarks/README.md).
"""


def default_gemm() -> Gemm:
    """OneDNN on the processors where it was measured to win, torch's own choice on all others."""
    return "onednn" if _processor() == ZEN_5 else "torch"


def gemm_options(gemm: Gemm | None) -> dict[str, Any]:
    """The options of `torch.compile` that send large products through `gemm`; None is `default_gemm()`.

    Raises:
        ValueError: `gemm` is neither.
    """
    if gemm not in (*get_args(Gemm), None):
        raise ValueError(f"gemm={gemm!r} is unknown: use one of {', '.join(get_args(Gemm))}, or None for the default")
    if (gemm or default_gemm()) == "torch":
        return {}
    route = _route()
    return {} if route is None else {"post_grad_custom_post_pass": route}


def used_gemm() -> Gemm:
    """What large products go through by default, here and with this torch."""
    return "onednn" if gemm_options(None) else "torch"


@cache
def _route() -> Any:
    """The pass over the graph, once for a process; None, with a warning, where torch has not what it needs."""
    try:
        from vae_fn.compiling.onednn import Route

        return Route()
    except (ImportError, AttributeError, LookupError) as fault:
        warnings.warn(f"products stay with torch's own choice: this torch has no way to oneDNN ({fault})", stacklevel=2)
        return None


@cache
def _processor() -> tuple[str, str] | None:
    """Vendor and family, as Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return None
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return told.get("vendor_id", ""), told.get("cpu family", "")
