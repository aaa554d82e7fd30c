"""What was measured, made up."""

from vae_fn.bench import VARIANTS, Source
from vae_fn.bench.compiled import Calls, FirstCall
from vae_fn.bench.limit import Limit
from vae_fn.bench.rows import Cold, row_of
from vae_fn.bench.steady import Steady

FIRST = FirstCall(seconds=30.0, graphs=1, graph_breaks=0, recompiles=0, peak_mb=20.0, process_peak_mb=900.0)
SOURCE = Source("module:function", {}, batch=128, samples=2)


def steady(windows, **changes):
    found = Steady(
        windows_ms=windows,
        steps=10,
        parity=1e-7,
        flops=8_000_000,
        bytes=4_000_000,
        limit=Limit(1.5, 0.5, {"mm": 3}),
        overhead_us=30.0,
        precision="float32",
        device="cpu",
    )
    return found._replace(**changes)


def row(windows, reference=None, name="donated", **changes):
    cold = Cold(FIRST, FIRST._replace(seconds=5.0), Calls(4, 6))
    return row_of(name, VARIANTS[name], SOURCE, cold, steady(windows, **changes), reference)
