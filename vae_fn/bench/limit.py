"""The machine's limit for a step: what its products take alone, and its state once through the memory.

    limit = sum over products of min over ways of time(product) + time(read and write the state)

All of it is measured, with operands that lie in the cache, on the machine and the threads that the steps run on. What
is left out (activations, reductions, noise, calls) makes it a bound that nothing reaches.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_fn.bench.windows import Clock, synchronize
from vae_fn.bench.work import Product, Work, operands
from vae_fn.compiling import has_tiles, tiles

SECONDS, LEAST = 0.03, 30
"""Of every way to do a product: how long its best time is looked for, and in how many bursts at least."""

BURST = 2e-5
"""Seconds of a burst, if a call is shorter: the shorter it is, the likelier that one passes undisturbed."""

MATMUL = torch.ops.aten.mm.default
BIASED = torch.ops.aten.addmm.default


class Limit(NamedTuple):
    """The least time of a step.

    Attributes:
        products_ms: of all its products, each by the fastest way.
        state_ms: of reading and writing its state.
        ways: how many of its products each way is the fastest for.
    """

    products_ms: float
    state_ms: float
    ways: dict[str, int]

    @property
    def ms(self) -> float:
        """Of a step, in milliseconds."""
        return self.products_ms + self.state_ms


def limit_of(work: Work, device: torch.device, *, clock: Clock = time.perf_counter) -> Limit:
    """Measure the limit of what a step does."""
    products, ways = 0.0, {}
    for product, count in work.products.items():
        seconds, way = min((best_time(run, clock), name) for name, run in ways_of(product))
        products += count * seconds
        ways[way] = ways.get(way, 0) + count
    old = torch.ones(max(work.state_bytes // 4, 1), device=device)
    new = torch.empty_like(old)
    return Limit(1e3 * products, 1e3 * best_time(lambda: new.copy_(old), clock), ways)


def ways_of(product: Product) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The ways to do a product: as the step does it, and plain ones by other layouts, oneDNN and own code."""
    given = operands(product.args)
    yield "as written", lambda: product.op(*given)
    if product.op in (MATMUL, BIASED):
        left, right = (tensor.contiguous() for tensor in given[-2:])
        turned_left, turned_right = left.t().contiguous(), right.t().contiguous()
        yield "mm", lambda: torch.mm(left, right)
        yield "mm, left transposed", lambda: torch.mm(turned_left.t(), right)
        yield "mm, right transposed", lambda: torch.mm(left, turned_right.t())
        if has_onednn(left):
            yield "oneDNN", lambda: _onednn(left, turned_right)
        if tiles.takes(left, right) and has_tiles():
            out = left.new_empty(left.shape[0], right.shape[1])
            yield "tiles", lambda: tiles.product(left, right, out=out)
            yield "tiles, left transposed", lambda: tiles.product(turned_left.t(), right, out=out)
            yield "tiles, right transposed", lambda: tiles.product(left, turned_right.t(), out=out)


def has_onednn(tensor: Tensor) -> bool:
    """Whether torch can do a product of such a tensor by oneDNN."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _onednn(left: Tensor, right: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")


def best_time(run: Callable[[], Any], clock: Clock = time.perf_counter, seconds: float = SECONDS) -> float:
    """The least seconds of a call among short bursts that take about so many seconds together."""
    run()
    bursts, calls, end = [], 1, clock() + seconds
    while clock() < end or len(bursts) < LEAST:
        synchronize()
        start = clock()
        for _ in range(calls):
            run()
        synchronize()
        bursts.append((clock() - start) / calls)
        calls = max(1, round(BURST / max(min(bursts), 1e-8)))
    return min(bursts)
