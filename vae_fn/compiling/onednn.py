"""Products through oneDNN: its `linear(x, w, b) = x w^T + b` stands where `mm` and `addmm` were."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch._inductor import mkldnn_ir
from torch._inductor.ir import TensorBox
from torch._inductor.lowering import lowerings
from torch._inductor.virtualized import V

from vae_fn.compiling.route import Route

_linear = torch.ops.mkldnn._linear_pointwise
_stock: Callable[..., Any] = lowerings[_linear]
_create: Callable[..., Any] = mkldnn_ir.LinearUnary.create


SMALLEST = 2_000_000
"""The multiplications of a product from which on oneDNN saves more than calling it costs."""


class OneDNN(Route):
    """The pass."""

    files = (__file__,)

    def __call__(self, graph: fx.Graph) -> None:
        """Rewrite the graph in place."""
        _allow_any_weight()
        super().__call__(graph)

    def fits(self, m: int, k: int, n: int) -> bool:
        """Whether it is large enough."""
        return m * k * n >= SMALLEST

    def instead(self, graph: fx.Graph, a: fx.Node, b: fx.Node, bias: fx.Node | None) -> fx.Node:
        """The linear layer whose weight is the second factor, transposed."""
        weight = graph.call_function(torch.ops.aten.permute.default, (b, [1, 0]))
        weight.meta["val"] = b.meta["val"].t()
        return graph.call_function(_linear.default, (a, weight, bias, "none", [], ""))


def _allow_any_weight() -> None:
    """Let `linear` be compiled with weights that are computed; torch does so only for constants of the graph.

    From here on this holds in the whole process: what torch could compile before, it compiles as before.
    """

    def lower(x: Any, w: Any, b: Any, attr: str, scalars: list, algorithm: str) -> Any:
        if w.get_name() in V.graph.constants:
            return _stock(x, w, b, attr, scalars, algorithm)
        return TensorBox.create(_create(x, w, b, attr, scalars, algorithm))

    lowerings[_linear] = lowerings[_linear.default] = lower
