"""Where matrices of low rank come from in a graph, and what becomes of them on the way to a reduction."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from vae_fn.compiling.low_rank.factors import Factors
from vae_fn.compiling.low_rank.symbols import (
    Known,
    Product,
    Symbol,
    added,
    derived,
    moved,
    outer,
    permuted,
    reshaped,
    scaled,
    value,
    weighed,
)

aten = torch.ops.aten

VIEWS = {
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.expand.default,
    aten.clone.default,
}
"""The same numbers in the same order."""

QUOTIENTS = {aten.div.Tensor, aten.div.Scalar}
PRODUCTS = {aten.mul.Tensor, aten.mul.Scalar}
SUMS = {aten.add.Tensor: 1.0, aten.sub.Tensor: -1.0}


def followed(node: fx.Node, known: dict[fx.Node, Known]) -> Known | None:
    """What is known of a node's value from what is known of its arguments."""
    found = value(node)
    if found is None or found.dtype is not torch.float32:
        return None
    if not any(argument in known for argument in node.all_input_nodes):
        return opened(node)
    first = known.get(node.args[0]) if isinstance(node.args[0], fx.Node) else None
    if node.target in VIEWS:
        return _viewed(first, tuple(found.shape))
    if not isinstance(first, Symbol | None):
        return None
    if node.target is aten.permute.default:
        return None if first is None else permuted(first, node.args[1])  # type: ignore[arg-type]
    if node.target is aten.pow.Tensor_Scalar:
        return Product(first, first) if first is not None and node.args[1] == 2 else None
    if node.target is aten.neg.default:
        return None if first is None else _times(first, -1.0, operator.mul)
    if any(argument in known and _shape(argument) != found.shape for argument in node.all_input_nodes):
        return None
    return _combined(node, known)


def opened(node: fx.Node) -> Symbol | None:
    """The matrices that a product of its own makes."""
    found = value(node)
    if found is None or found.dtype is not torch.float32:
        return None
    if node.target is aten.mul.Tensor:
        return _outer_product(node, tuple(found.shape))
    if node.target is aten.bmm.default:
        left, right = node.args
        return outer(left, right, found.shape, _shape(left)[2], lambda x, y: Factors(x.mT, y))  # type: ignore[index]
    product = node.args[0] if node.target in VIEWS else None
    if isinstance(product, fx.Node) and product.target is aten.mm.default:
        return _split_product(product, tuple(found.shape))
    return None


def _outer_product(node: fx.Node, shape: tuple[int, ...]) -> Symbol | None:
    """`(b, m, 1) * (b, 1, n)` in either order, the examples of one of them perhaps all the same."""
    if len(shape) != 3 or any(value(argument) is None for argument in node.args):
        return None
    b, m, n = shape
    for left, right in (node.args, node.args[::-1]):
        rows, columns = ((1,) * (3 - value(x).ndim) + tuple(value(x).shape) for x in (left, right))  # type: ignore
        if rows[1:] == (m, 1) and columns[1:] == (1, n):
            return outer(
                left,  # type: ignore[arg-type]
                right,  # type: ignore[arg-type]
                shape,
                1,
                lambda x, y: Factors(x.reshape(-1, 1, m).expand(b, 1, m), y.reshape(-1, 1, n).expand(b, 1, n)),
            )
    return None


def _split_product(product: fx.Node, shape: tuple[int, ...]) -> Symbol | None:
    """`(b m, r) @ (r, n)` as `(b, m, n)`: what is right of it is the same for all examples."""
    left, right = product.args
    if value(left) is None or len(shape) != 3 or _shape(product) != (shape[0] * shape[1], shape[2]):
        return None
    b, m, _ = shape
    return outer(
        left,  # type: ignore[arg-type]
        right,  # type: ignore[arg-type]
        shape,
        _shape(left)[1],  # type: ignore[index]
        lambda x, y: Factors(x.reshape(b, m, -1).mT, y.expand(b, *y.shape)),
    )


def _combined(node: fx.Node, known: dict[fx.Node, Known]) -> Known | None:
    """The sum, difference, product or quotient with another value."""
    if len(node.args) != 2 or node.kwargs:  # such as alpha
        return None
    one, other = (known.get(x, x) if isinstance(x, fx.Node) else x for x in node.args)
    if isinstance(one, Product) or isinstance(other, Product):
        return None
    if node.target in SUMS:
        return _sum(one, other, SUMS[node.target])  # type: ignore[index]
    if node.target in PRODUCTS:
        symbol, operand = (one, other) if isinstance(one, Symbol) else (other, one)
        return _product(symbol, operand)  # type: ignore[arg-type]
    if node.target in QUOTIENTS and isinstance(one, Symbol) and not isinstance(other, Symbol):
        return _times(one, other, torch.true_divide)
    return None


def _sum(one: Any, other: Any, sign: float) -> Known | None:
    if isinstance(one, Symbol) and isinstance(other, Symbol):
        return added(one, other if sign > 0 else _times(other, sign, operator.mul))
    if isinstance(one, Symbol):
        return _moved(one, other, sign)
    return _moved(other if sign > 0 else _times(other, sign, operator.mul), one, 1.0)


def _moved(symbol: Symbol, operand: Any, sign: float) -> Symbol | None:
    if not isinstance(operand, fx.Node):
        return None
    return symbol if _is_zero(operand) else moved(symbol, operand, sign)


def _product(symbol: Symbol, operand: Any) -> Known | None:
    if isinstance(operand, Symbol):
        return Product(symbol, operand) if (symbol.roles, symbol.sizes) == (operand.roles, operand.sizes) else None
    found = _times(symbol, operand, operator.mul)
    return found if found is not None or not isinstance(operand, fx.Node) else weighed(symbol, operand)


def _times(symbol: Symbol, operand: Any, operation: Callable[[Any, Any], Any]) -> Any:
    """The value times a number or another value, or over it."""
    if isinstance(operand, fx.Node):
        return scaled(symbol, operand, operation)

    def change(x: Factors) -> Factors:
        return Factors(operation(x.left, operand), x.right, None if x.offset is None else operation(x.offset, operand))

    return derived(symbol, change)


def _viewed(known: Known | None, shape: tuple[int, ...]) -> Known | None:
    if isinstance(known, Symbol):
        return reshaped(known, shape)
    if known is None or not isinstance(known.other, Symbol):
        return None
    one, other = reshaped(known.one, shape), reshaped(known.other, shape)
    if one is None or other is None:
        return None
    return Product(one, one if known.other is known.one else other)


def _is_zero(node: fx.Node) -> bool:
    """Whether a value is known to be zero, as gradients are before anything is added to them."""
    if node.target is aten.full.default:
        return bool(node.args[1] == 0)
    if node.target is aten.add.Tensor:
        return all(isinstance(x, fx.Node) and _is_zero(x) for x in node.args)
    return node.target in VIEWS and isinstance(node.args[0], fx.Node) and _is_zero(node.args[0])


def _shape(node: Any) -> tuple[int, ...] | None:
    found = value(node)
    return None if found is None else tuple(found.shape)
