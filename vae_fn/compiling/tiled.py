"""Products through this package's own code (`tiles.py`)."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._inductor.ir import FixedLayout
from torch._inductor.kernel.mm_common import mm_args
from torch._inductor.lowering import lowerings
from torch._inductor.select_algorithm import ExternKernelChoice

from vae_fn.compiling import tiles
from vae_fn.compiling.route import Route

_mm: Callable[..., Any] = lowerings[torch.ops.aten.mm.default]
_addmm: Callable[..., Any] = lowerings[torch.ops.aten.addmm.default]
_plain = ExternKernelChoice(tiles.product, name="vae_fn_product")
_biased = ExternKernelChoice(tiles.biased_product, name="vae_fn_biased_product")

_library = torch.library.Library("vae_fn", "DEF")
_library.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")
_product = torch.ops.vae_fn.product.default
"""The node of a graph; it is never called, but lowered."""


@torch.library.impl(_library, "product", "Meta")
def _shape_of(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


class Tiled(Route):
    """The pass. A smaller product is done sooner by one thread than two have met."""

    smallest = 100_000
    files = (__file__, tiles.__file__, str(tiles.SOURCE))

    def __init__(self) -> None:
        tiles.begin()

    def __call__(self, graph: fx.Graph) -> None:
        """Rewrite the graph in place, or leave it and warn where the code cannot be compiled."""
        try:
            tiles.begin().result()
        except (RuntimeError, OSError) as fault:
            warnings.warn(f"products stay with torch's own choice: {fault}", stacklevel=2)
        else:
            super().__call__(graph)

    def instead(self, graph: fx.Graph, a: fx.Node, b: fx.Node, bias: fx.Node | None) -> fx.Node:
        """The call of the code, or what was there before where the factors lie in memory as it does not know."""
        return graph.call_function(_product, (a, b, bias))


def _lower(a: Any, b: Any, bias: Any) -> Any:
    m, n, _, layout, x, y = mm_args(a, b)
    for factor in (x, y):
        factor.freeze_layout()
    if not tiles.fitting(x.get_stride(), y.get_stride()):
        return _mm(a, b) if bias is None else _addmm(bias, a, b)
    dense = FixedLayout(layout.device, layout.dtype, [m, n])
    if bias is None:
        return _plain.bind((x, y), dense).output_node()
    bias.realize()
    bias.freeze_layout()
    if bias.get_stride() != [1]:
        return _addmm(bias, a, b)
    return _biased.bind((bias, x, y), dense).output_node()


lowerings[_product] = _lower
