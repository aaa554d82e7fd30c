"""Time the products of a layer by this package's own code, MKL and oneDNN, at the sizes of many steps.

For a layer of `k` inputs and `n` outputs on `m` rows: its output, and the gradients of its input and of its weight, in
float32 and, where the processor multiplies that, in bfloat16. Ways take their calls in turn; a time is the least of all
calls. Through `torch.mm` float32 goes to MKL, and bfloat16 to oneDNN.

    .venv/bin/python benchmarks/products.py [--seconds 0.3] [--json benchmarks/results/products.json]
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from vae_fn import random
from vae_fn.compiling import has_tiles, tiles
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic

LAYERS = (784, 512), (512, 256), (256, 128), (128, 64)
SIZES = [
    *((128, k, n) for k, n in LAYERS),
    *((batch, 784, 512) for batch in (32, 512, 2048, 8192)),
    *((128, width * 784, width * 512) for width in (2, 4, 8)),
]
"""(m, k, n): the tutorial's layers, its first one for other batches, and for other widths."""


def by_onednn(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    """`a b`, as a linear layer of oneDNN, which writes to memory of its own."""
    del out
    return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")


WAYS: dict[str, Callable[..., Tensor]] = {"own": tiles.product, "torch.mm": torch.mm, "oneDNN": by_onednn}


def products(m: int, k: int, n: int, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """The factors of a layer's three products, as they lie in memory."""
    generator = torch.Generator().manual_seed(0)
    x, weight, gradient = (torch.randn(shape, generator=generator).to(dtype) for shape in ((m, k), (n, k), (m, n)))
    return {"output": (x, weight.t()), "input's gradient": (gradient, weight), "weight's gradient": (gradient.t(), x)}


def least(a: Tensor, b: Tensor, seconds: float) -> dict[str, float]:
    """The least milliseconds of a call, by way."""
    out = a.new_empty(a.shape[0], b.shape[1])
    found, end = dict.fromkeys(WAYS, float("inf")), time.perf_counter() + seconds
    while time.perf_counter() < end or float("inf") in found.values():
        for name, way in WAYS.items():
            start = time.perf_counter()
            way(a, b, out=out)
            found[name] = min(found[name], 1e3 * (time.perf_counter() - start))
    return found


def name_of(dtype: torch.dtype) -> str:
    """As in `float32`."""
    return str(dtype).removeprefix("torch.")


def rows(seconds: float) -> list[dict[str, Any]]:
    """All products, by one thread and by all."""
    threads, measured = torch.get_num_threads(), []
    for used in sorted({1, threads}):
        torch.set_num_threads(used)
        for dtype, (m, k, n) in tqdm(list(itertools.product(tiles.dtypes(), SIZES)), f"{used} threads"):
            for product, (a, b) in products(m, k, n, dtype).items():
                if not tiles.takes(a, b):  # a long sum of bfloat16, which is torch's
                    continue
                ms = least(a, b, seconds)
                speed = {name: 2e-6 * m * k * n / value for name, value in ms.items()}
                size = {"dtype": name_of(dtype), "threads": used, "m": m, "k": k, "n": n, "product": product}
                measured.append(size | {"ms": ms, "gflop_per_second": speed, "own_over_mm": ms["own"] / ms["torch.mm"]})
    return measured


def table(measured: list[dict[str, Any]]) -> str:
    """The rows as they are printed."""
    told = [
        [
            row["dtype"],
            row["threads"],
            f"{row['m']} x {row['k']} x {row['n']}",
            row["product"],
            *row["gflop_per_second"].values(),
            row["own_over_mm"],
        ]
        for row in measured
    ]
    speeds = [f"{way}, GFLOP/s" for way in WAYS]
    return tabulate(told, ["dtype", "threads", "m x k x n", "of a layer", *speeds, "own / mm, time"], floatfmt=".3g")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="for the calls of a product")
    parser.add_argument("--json", type=Path, help="where to write the record")
    options = parser.parse_args()
    if not has_tiles():
        parser.error("the package's own code needs AVX-512 and a C++ compiler")
    measured = rows(options.seconds)
    print(table(measured))
    if options.json:
        here = environment("cpu", random.GENERATOR) | {"command": ["benchmarks/products.py"]}
        write_atomic(options.json, json.dumps({"rows": measured, "environment": here}, indent=2) + "\n")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
