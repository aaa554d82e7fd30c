"""Which factors of a product nothing reads again before they are written anew.

What all cores have read and one of them writes anew costs a step much where they share no cache (`lines.h`).
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import fx

_aten = torch.ops.aten

VIEWS = (_aten.permute.default, _aten.t.default, _aten.transpose.int, _aten.view.default, _aten.unsqueeze.default)

Leaving: TypeAlias = tuple[bool, bool]
"""Of a product's two factors, whether their lines are given back to memory after it."""


def leaving(product: fx.Node, targets: tuple[Any, ...]) -> Leaving:
    """Of a product in a graph: both factors of a weight's gradient, and a weight that the graph updates.

    The first lie transposed, so that every thread reads all of the other; the second is read by columns, where its rows
    are updated.

    Args:
        product: its node, whose first arguments are the factors.
        targets: of all products of the graph: one that reads a factor later keeps it.
    """
    factors: Any = product.args[:2]
    a, b = factors
    if _transposed(a):
        return _passes(product, a, targets), _passes(product, b, targets)
    return False, not _transposed(b) and _updated(_base(b)) and _last(product, b, targets)


def _transposed(factor: fx.Node) -> bool:
    down, right = factor.meta["val"].stride()
    return down == 1 and right != 1


def _base(factor: Any) -> fx.Node:
    """Where the factor's numbers were computed."""
    while factor.target in VIEWS:
        factor = factor.args[0]
    return factor


def _readers(base: fx.Node) -> Iterator[fx.Node]:
    for user in base.users:
        yield user
        if user.target in VIEWS:
            yield from _readers(user)


def _passes(product: fx.Node, factor: fx.Node, targets: tuple[Any, ...]) -> bool:
    """Whether it was computed in the graph, and no later product reads it."""
    return _base(factor).op != "placeholder" and _last(product, factor, targets)


def _last(product: fx.Node, factor: fx.Node, targets: tuple[Any, ...]) -> bool:
    """Whether no later product reads it."""
    return not any(reader.target in targets and product < reader for reader in _readers(_base(factor)))


def _updated(base: fx.Node) -> bool:
    """Whether it is an input of the graph that the graph writes over."""
    return any(user.target is _aten.copy_.default and user.args[0] is base for user in base.users)
