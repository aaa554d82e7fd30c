"""A pass over a compiled graph that sends its products another way than torch does.

This rests on private parts of torch's compiler: importing the module fails where they are missing (`gemm.py` looks
after that).
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

_aten = torch.ops.aten


class Route(CustomGraphPass):
    """The pass. Products of other dtypes and devices, and those that are empty or of unknown shape stay as they are.

    Attributes:
        dtypes: of the products that are sent.
        files: that the rewriting depends on.
    """

    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    files: tuple[str, ...]

    def __call__(self, graph: fx.Graph) -> None:
        """Rewrite the graph in place."""
        for node in list(graph.nodes):
            if node.target in (_aten.mm.default, _aten.addmm.default) and self._worth(node):
                *bias, a, b = node.args
                with graph.inserting_before(node):
                    product = self.instead(graph, a, b, bias[0] if bias else None)
                    product.meta.update(node.meta)
                node.replace_all_uses_with(product)
                graph.erase_node(node)
        graph.lint()

    @abstractmethod
    def instead(self, graph: fx.Graph, a: fx.Node, b: fx.Node, bias: fx.Node | None) -> fx.Node:
        """A node that stands for `a b + bias`."""

    @abstractmethod
    def fits(self, m: int, k: int, n: int) -> bool:
        """Whether a product of `m x k` and `k x n` is one to send."""

    def uuid(self) -> Any:
        """Another one when the code changes, so that no cache gives out graphs of an older pass."""
        return get_hash_for_files((__file__, *self.files))

    def _worth(self, node: fx.Node) -> bool:
        """Whether a node is a product to send."""
        args: Any = node.args
        *bias, a, b = args
        x, y = a.meta["val"], b.meta["val"]
        if node.kwargs or (bias and tuple(bias[0].meta["val"].shape) != (y.shape[1],)):
            return False
        if x.dtype not in self.dtypes or x.device.type != "cpu":
            return False
        if any(other.meta["val"].dtype != x.dtype for other in (b, *bias)):  # which torch refuses
            return False
        m, k, n = *x.shape, y.shape[1]
        return all(isinstance(size, int) and size for size in (m, k, n)) and self.fits(m, k, n)
