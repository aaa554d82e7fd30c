"""A pass over a compiled graph that sends its large float32 products through oneDNN.

oneDNN's `linear(x, w, b) = x w^T + b` stands where `mm` and `addmm` were. This rests on private parts of torch's
compiler: importing the module fails where they are missing (`gemm.py` looks after that).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch._inductor import mkldnn_ir
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.ir import TensorBox
from torch._inductor.lowering import lowerings
from torch._inductor.virtualized import V

SMALLEST = 2_000_000
"""The number of multiplications from which on oneDNN wins; below it costs more to call than it saves."""

_aten = torch.ops.aten
_linear = torch.ops.mkldnn._linear_pointwise
_stock: Callable[..., Any] = lowerings[_linear]
_create: Callable[..., Any] = mkldnn_ir.LinearUnary.create


class Route(CustomGraphPass):
    """The pass. Products of other dtypes and devices, small ones, and those of unknown shape stay as they are."""

    def __call__(self, graph: fx.Graph) -> None:
        """Rewrite the graph in place."""
        _allow_any_weight()
        for node in list(graph.nodes):
            if node.target in (_aten.mm.default, _aten.addmm.default) and _worth(node):
                _rewrite(graph, node)
        graph.lint()

    def uuid(self) -> Any:
        """Another one when this file changes, so that no cache gives out graphs of an older pass."""
        return get_hash_for_files((__file__,))


def _worth(node: fx.Node) -> bool:
    """Whether a node is a product to send to oneDNN."""
    args: Any = node.args
    *bias, a, b = args
    x, y = a.meta["val"], b.meta["val"]
    if node.kwargs or (bias and tuple(bias[0].meta["val"].shape) != (y.shape[1],)):
        return False
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return False
    sizes = (*x.shape, y.shape[1])
    return all(isinstance(size, int) for size in sizes) and sizes[0] * sizes[1] * sizes[2] >= SMALLEST


def _rewrite(graph: fx.Graph, node: fx.Node) -> None:
    args: Any = node.args
    *bias, a, b = args
    with graph.inserting_before(node):
        weight = graph.call_function(_aten.permute.default, (b, [1, 0]))
        weight.meta["val"] = b.meta["val"].t()
        product = graph.call_function(_linear.default, (a, weight, bias[0] if bias else None, "none", [], ""))
        product.meta.update(node.meta)
    node.replace_all_uses_with(product)
    graph.erase_node(node)


def _allow_any_weight() -> None:
    """Let `linear` be compiled with weights that are computed; torch does so only for constants of the graph.

    From here on this holds in the whole process: what torch could compile before, it compiles as before.
    """

    def lower(x: Any, w: Any, b: Any, attr: str, scalars: list, algorithm: str) -> Any:
        if w.get_name() in V.graph.constants:
            return _stock(x, w, b, attr, scalars, algorithm)
        return TensorBox.create(_create(x, w, b, attr, scalars, algorithm))

    lowerings[_linear] = lowerings[_linear.default] = lower
