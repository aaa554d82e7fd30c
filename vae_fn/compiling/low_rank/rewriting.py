"""The pass over a graph of ATen operations."""

from typing import Any

import torch
from torch import fx
from torch._inductor.decomposition import select_decomp_table
from torch.fx.experimental.proxy_tensor import make_fx

from vae_fn.compiling.low_rank.following import followed
from vae_fn.compiling.low_rank.reducing import Reduction, reduced
from vae_fn.compiling.low_rank.symbols import Known, value


def rewrite(graph: fx.Graph) -> int:
    """Put reductions of factors in the place of reductions of the matrices they stand for; returns how many.

    Factors come from values that stand before what they stand for, so the order of the graph holds. Matrices that are
    used by something else too are formed as before. A graph that writes into values, other than its results into its
    arguments at its end, is left alone.
    """
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.squeeze_.dim):
        _squeeze_apart(node)
    if any(map(_writes, graph.nodes)):
        return 0
    known: dict[fx.Node, Known] = {}
    written: dict[Any, fx.Node] = {}
    count = 0
    for node in [node for node in graph.nodes if node.op == "call_function"]:
        reduction = reduced(node, known)
        if reduction is not None:
            _put(graph, node, reduction, written)
            count += 1
            continue
        found = followed(node, known)
        if found is not None:
            known[node] = found
    if count:
        graph.eliminate_dead_code()
    return count


def _squeeze_apart(node: fx.Node) -> None:
    """Take a view for a value that is squeezed in place, as vectors times matrices are, if nothing else sees it."""
    if len(node.args[0].users) == 1:  # type: ignore[union-attr]
        node.target = torch.ops.aten.squeeze.dim


def _writes(node: fx.Node) -> bool:
    """Whether an operation changes a value that was made in the graph, or an argument other than by copying into it."""
    if not isinstance(node.target, torch._ops.OpOverload) or not node.target._schema.is_mutable:
        return False
    into = node.args[0] if node.target is torch.ops.aten.copy_.default else None
    return not (isinstance(into, fx.Node) and into.op == "placeholder")


def _put(graph: fx.Graph, node: fx.Node, reduction: Reduction, written: dict[Any, fx.Node]) -> None:
    """Write the operations of a reduction before a node, those that are written already once, and take them for it."""
    values = [value(source) for source in reduction.inputs]
    with values[0].fake_mode:  # type: ignore[union-attr]
        steps = make_fx(reduction.compute, select_decomp_table())(*values).graph
    at = dict(zip(steps.find_nodes(op="placeholder"), reduction.inputs, strict=True))
    for step in (step for step in steps.nodes if step.op == "call_function"):
        key = step.target, *(fx.map_arg(part, at.__getitem__) for part in (step.args, tuple(step.kwargs.items())))
        if key not in written:
            with graph.inserting_before(node):
                written[key] = graph.node_copy(step, at.__getitem__)
        at[step] = written[key]
    node.replace_all_uses_with(at[steps.output_node().args[0]])
