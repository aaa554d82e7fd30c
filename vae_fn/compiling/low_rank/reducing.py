"""Reductions in a graph that can be had from factors."""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, fx

from vae_fn.compiling.low_rank.factors import against, inner, moment, square_moment, total
from vae_fn.compiling.low_rank.symbols import Known, Product, Symbol, oriented, size_of, value

aten = torch.ops.aten

MOST_PAIRS = 21
"""Of outer products: with more, second moments take longer from them than from the matrices."""


class Reduction(NamedTuple):
    """The value of a node as a function of others."""

    inputs: tuple[fx.Node, ...]
    compute: Callable[..., Tensor]


def reduced(node: fx.Node, known: dict[fx.Node, Known]) -> Reduction | None:
    """How a node is had from factors, if it is a reduction of something known."""
    if node.target in (aten.mm.default, aten.mv.default):
        found, count = _contraction(*node.args, known), 1  # type: ignore[arg-type]
    elif node.target in (aten.sum.dim_IntList, aten.sum.default, aten.mean.dim) and node.args[0] in known:
        source = known[node.args[0]]  # type: ignore[index]
        symbol = source.one if isinstance(source, Product) else source
        dims = node.args[1] if len(node.args) > 1 and node.args[1] else range(len(symbol.roles))
        roles = {symbol.roles[dim] for dim in dims} - {""}  # type: ignore[union-attr]
        found = _summed(source, roles)
        count = size_of(symbol, roles) if node.target is aten.mean.dim else 1
    else:
        return None
    like = value(node)
    return None if found is None or like is None or like.dtype is not torch.float32 else _as(found, like, count)


def _as(found: Reduction, like: Tensor, count: int) -> Reduction:
    """The reduction in another's shape and dtype, over a count."""
    shape, dtype = tuple(like.shape), like.dtype

    def compute(*values: Tensor) -> Tensor:
        result = found.compute(*values)
        return (result if count == 1 else result / count).to(dtype).reshape(shape)

    return Reduction(found.inputs, compute)


def _summed(source: Known, roles: set[str]) -> Reduction | None:
    """The sum along these roles."""
    matrices = roles - {"b"} in ({"m", "n"}, {"mn"})
    if isinstance(source, Symbol):
        return _of(total, source) if roles == {"b"} else None
    if roles == {"b"}:
        return _second_moment(source)
    if not matrices:
        return None
    found = _inner_product(source)
    return Reduction(found.inputs, lambda *values: found.compute(*values).sum()) if "b" in roles else found


def _second_moment(source: Product) -> Reduction | None:
    one, other = source
    if not isinstance(other, Symbol):
        return None
    if one is other:
        return _of(square_moment, one) if one.rank * (one.rank + 1) // 2 <= MOST_PAIRS else None
    return _of(moment, one, other) if one.rank * other.rank <= MOST_PAIRS else None


def _inner_product(source: Product) -> Reduction:
    one, other = source
    if isinstance(other, Symbol):
        return _of(inner, one, one if one is other else other)
    count = len(one.inputs)

    def compute(*values: Tensor) -> Tensor:
        return against(one.make(*values[:count]), oriented(one, values[count])[0])

    return Reduction((*one.inputs, other), compute)


def _contraction(left: fx.Node, right: fx.Node, known: dict[fx.Node, Known]) -> Reduction | None:
    """Flattened matrices times one vector, and a vector of weights times flattened matrices."""
    one, other = known.get(left), known.get(right)
    first, second = value(left), value(right)
    if first is None or second is None:
        return None
    if isinstance(one, Symbol) and one.roles == ("b", "mn") and other is None and second.shape[1:].numel() == 1:
        count, sizes = len(one.inputs), one.sizes[1:]
        return Reduction(
            (*one.inputs, right), lambda *values: against(one.make(*values[:count]), values[count].reshape(sizes))
        )
    if isinstance(other, Symbol) and other.roles == ("b", "mn") and one is None and len(first) == 1:
        return None if other.offset else _weighted(other, left)
    return None


def _weighted(symbol: Symbol, weights: fx.Node) -> Reduction:
    count = len(symbol.inputs)

    def compute(*values: Tensor) -> Tensor:
        x = symbol.make(*values[:count])
        return total(x._replace(left=x.left * values[count].reshape(-1, 1, 1)))

    return Reduction((*symbol.inputs, weights), compute)


def _of(formula: Callable[..., Tensor], *symbols: Symbol) -> Reduction:
    """A formula of factors, as a function of the values that they come from."""

    def compute(*values: Tensor) -> Tensor:
        left = iter(values)
        return formula(*[symbol.make(*islice(left, len(symbol.inputs))) for symbol in symbols])

    return Reduction(tuple(node for symbol in symbols for node in symbol.inputs), compute)
