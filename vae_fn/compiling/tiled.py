"""Products through this package's own code (`tiles.py`)."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._inductor import config
from torch._inductor.ir import FixedLayout
from torch._inductor.kernel.mm_common import mm_args, realize_inputs
from torch._inductor.lowering import lowerings
from torch._inductor.select_algorithm import ExternKernelChoice

from vae_fn.compiling import leaving, processor, tiles
from vae_fn.compiling.route import Route

_mm: Callable[..., Any] = lowerings[torch.ops.aten.mm.default]
_addmm: Callable[..., Any] = lowerings[torch.ops.aten.addmm.default]
_plain = ExternKernelChoice(tiles.product, name="vae_fn_product")
_biased = ExternKernelChoice(tiles.biased_product, name="vae_fn_biased_product")

_library = torch.library.Library("vae_fn", "DEF")
_library.define("product(Tensor a, Tensor b, Tensor? bias, bool a_leaves, bool b_leaves) -> Tensor")
_product = torch.ops.vae_fn.product.default
"""The node of a graph; it is never called, but lowered."""


@torch.library.impl(_library, "product", "Meta")
def _shape_of(a: Tensor, b: Tensor, bias: Tensor | None, a_leaves: bool, b_leaves: bool) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


PRODUCTS = (_product, torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
"""The targets of all products of a graph."""

TALL = 24
"""The rows from which on the columns of tiles are full enough where the second factor lies transposed."""

THINNEST, SMALL = 8, 100_000
"""Large thin products leave tiles empty; small ones of any form are done sooner, by one thread, than
torch has been asked; `tiles.cpp` knows the same number."""


class Tiled(Route):
    """The pass."""

    files = (__file__, leaving.__file__, tiles.__file__, processor.__file__, *map(str, tiles.SOURCES))

    def __init__(self) -> None:
        self.dtypes = tiles.dtypes()
        self._told: set[str] = set()
        tiles.begin()

    def __call__(self, graph: fx.Graph) -> None:
        """Rewrite the graph in place, or leave it where the code cannot be compiled or called."""
        if self._there():
            super().__call__(graph)
            for node in graph.find_nodes(op="call_function", target=_product):
                node.args = (*node.args[:3], *leaving.leaving(node, PRODUCTS))

    def fits(self, m: int, k: int, n: int) -> bool:
        """Whether it is not thin, or small."""
        return min(m, k, n) >= THINNEST or m * k * n <= SMALL

    def uuid(self) -> Any:
        """Another one when the code changes, where it is missing, and where it multiplies other dtypes."""
        return super().uuid(), self.dtypes, self._there()

    def _there(self) -> bool:
        """Whether the code can be called; warns where it cannot, once, also of a graph that comes from the cache."""
        fault = "its wrapper in C++ cannot call other code" if config.cpp_wrapper else tiles.failure()
        if fault and fault not in self._told:
            self._told.add(fault)
            warnings.warn(f"products stay with torch's own choice: {fault}", stacklevel=2)
        return not fault

    def instead(self, graph: fx.Graph, a: fx.Node, b: fx.Node, bias: fx.Node | None) -> fx.Node:
        """The call of the code, or what was there before where the factors lie in memory as it does not know."""
        return graph.call_function(_product, (a, b, bias, False, False))


def _lower(a: Any, b: Any, bias: Any, a_leaves: bool, b_leaves: bool) -> Any:
    _, _, _, layout, x, y = mm_args(a, b)
    factors = [x, y] if bias is None else [x, y, realize_inputs(bias)]
    for factor in factors:
        factor.freeze_layout()
    x_strides, y_strides, *bias_strides = [list(factor.get_stride()) for factor in factors]
    lengths = (*layout.size, x.get_size()[1], *x_strides, *y_strides, layout.dtype.itemsize)
    sizes: Any = tuple(map(int, lengths))
    wasteful = y_strides[1] != 1 and layout.size[0] < TALL
    if wasteful or not tiles.fitting(sizes) or bias_strides not in ([], [[1]]):
        return _mm(a, b) if bias is None else _addmm(bias, a, b)
    dense, given = (
        FixedLayout(layout.device, layout.dtype, layout.size),
        {"sizes": sizes, "leaving": (a_leaves, b_leaves)},
    )
    choice = _plain.bind((x, y), dense, **given) if bias is None else _biased.bind((factors[2], x, y), dense, **given)
    return choice.output_node()


lowerings[_product] = _lower
