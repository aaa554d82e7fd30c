"""What is known of a value in a graph: that it is a batch of matrices of low rank, and how to have its factors.

A value's dimensions play roles: `b` of the examples, `m` of the rows, `n` of the columns, `mn` of both flattened, or
none, of size 1. Rows come before columns: a transposed value has its factors exchanged.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from vae_fn.compiling.low_rank.factors import Factors, plus, swapped


class Symbol(NamedTuple):
    """A batch of matrices of low rank.

    Attributes:
        roles: of the value's dimensions.
        sizes: of b, m and n.
        rank: how many outer products there are of each example.
        inputs: values that stand before it in the graph.
        make: its factors as a function of these.
        offset: whether the factors have one.
    """

    roles: tuple[str, ...]
    sizes: tuple[int, int, int]
    rank: int
    inputs: tuple[fx.Node, ...]
    make: Callable[..., Factors]
    offset: bool = False


class Product(NamedTuple):
    """A batch of matrices times another or times one matrix, entry by entry, before it is summed."""

    one: Symbol
    other: Symbol | fx.Node


Known = Symbol | Product


def value(node: Any) -> Tensor | None:
    """The shape and dtype of a node's value, if it is one tensor of static shape in float32 or float64."""
    found = node.meta.get("val") if isinstance(node, fx.Node) else None
    if not isinstance(found, Tensor) or found.dtype not in (torch.float32, torch.float64):
        return None
    return found if all(isinstance(size, int) for size in found.shape) else None


def worth(rank: int, m: int, n: int) -> bool:
    """Whether factors are clearly smaller than what they stand for."""
    return 2 * rank * (m + n) <= m * n


def outer(
    left: fx.Node, right: fx.Node, shape: Sequence[int], rank: int, make: Callable[..., Factors]
) -> Symbol | None:
    """The symbol of a value `(b, m, n)`, if it has this shape and is large enough."""
    if len(shape) != 3 or min(shape) < 2 or not worth(rank, *shape[1:]):
        return None
    return Symbol(("b", "m", "n"), tuple(shape), rank, (left, right), make)  # type: ignore[arg-type]


def derived(symbol: Symbol, change: Callable[..., Factors], *inputs: fx.Node, **fields: Any) -> Symbol:
    """The symbol with factors `change(factors, *inputs)`."""
    count = len(symbol.inputs)

    def make(*values: Tensor) -> Factors:
        return change(symbol.make(*values[:count]), *values[count:])

    return symbol._replace(inputs=symbol.inputs + inputs, make=make, **fields)


def added(one: Symbol, other: Symbol) -> Symbol | None:
    """The sum of two values of one form."""
    rank, count = one.rank + other.rank, len(one.inputs)
    if (one.roles, one.sizes) != (other.roles, other.sizes) or not worth(rank, *one.sizes[1:]):
        return None

    def make(*values: Tensor) -> Factors:
        return plus(one.make(*values[:count]), other.make(*values[count:]))

    return one._replace(rank=rank, inputs=one.inputs + other.inputs, make=make, offset=one.offset or other.offset)


def permuted(symbol: Symbol, dims: Sequence[int]) -> Symbol:
    """The value with its dimensions in another order."""
    roles = tuple(symbol.roles[dim] for dim in dims)
    if "mn" in roles or roles.index("m") < roles.index("n"):
        return symbol._replace(roles=roles)
    names = {"m": "n", "n": "m"}
    b, m, n = symbol.sizes
    return derived(symbol, swapped, roles=tuple(names.get(role, role) for role in roles), sizes=(b, n, m))


def reshaped(symbol: Symbol, shape: Sequence[int]) -> Symbol | None:
    """The value in another shape, in which matrices are whole, or flattened."""
    b, m, n = symbol.sizes
    full = [size for size in shape if size != 1]
    if next(filter(None, symbol.roles)) != "b" or full not in ([b, m, n], [b, m * n]):
        return None
    names = iter(("b", "m", "n") if len(full) == 3 else ("b", "mn"))
    return symbol._replace(roles=tuple("" if size == 1 else next(names) for size in shape))


def spanned(symbol: Symbol, shape: Sequence[int]) -> set[str] | None:
    """The roles along which a value of this shape varies when it is broadcast to the symbol's; None if it is larger."""
    missing = len(symbol.roles) - len(shape)
    if missing < 0:
        return None
    found = {role for role, size in zip(symbol.roles[missing:], shape, strict=True) if size != 1}
    return None if "" in found else found


def oriented(symbol: Symbol, operand: Tensor) -> Tensor:
    """A value that is broadcast to the symbol's as `(b, m, n)`, each of them or 1."""
    roles = spanned(symbol, operand.shape)
    assert roles is not None
    operand = operand.reshape(*(1,) * (len(symbol.roles) - operand.ndim), *operand.shape)
    order = sorted(range(operand.ndim), key=lambda dim: symbol.roles[dim] != "b")
    along = [{"b"} & roles, {"m", "mn"} & roles, {"n", "mn"} & roles]
    return operand.permute(order).reshape([size if any_ else 1 for size, any_ in zip(symbol.sizes, along, strict=True)])


def scaled(symbol: Symbol, operand: fx.Node, operation: Callable[[Tensor, Tensor], Tensor]) -> Symbol | None:
    """The value times another, or over it, that varies with the example, and with rows or columns, or not at all."""
    other = value(operand)
    roles = None if other is None else spanned(symbol, other.shape)
    if roles is None or (symbol.offset and "b" in roles) or roles & {"mn"} or roles >= {"m", "n"}:
        return None

    def change(x: Factors, operand: Tensor) -> Factors:
        factor, dtype = (
            oriented(symbol, operand),
            x.left.dtype,
        )  # kept: a number in float64 does not widen a float32 value
        offset = None if x.offset is None else operation(x.offset, factor[0]).to(dtype)
        if factor.shape[2] > 1:
            return Factors(x.left, operation(x.right, factor).to(dtype), offset)
        return Factors(operation(x.left, factor.mT).to(dtype), x.right, offset)

    return derived(symbol, change, operand)


def moved(symbol: Symbol, operand: fx.Node, sign: float) -> Symbol | None:
    """The value and a matrix that is the same for all examples."""
    other = value(operand)
    roles = None if other is None else spanned(symbol, other.shape)
    if roles is None or "b" in roles:
        return None

    def change(x: Factors, operand: Tensor) -> Factors:
        offset = sign * oriented(symbol, operand)[0].expand(symbol.sizes[1:]).to(x.left.dtype)
        return x._replace(offset=offset if x.offset is None else x.offset + offset)

    return derived(symbol, change, operand, offset=True)


def weighed(symbol: Symbol, operand: fx.Node) -> Product | None:
    """The value times one matrix."""
    other = value(operand)
    roles = None if other is None else spanned(symbol, other.shape)
    return Product(symbol, operand) if roles in ({"m", "n"}, {"mn"}) else None


def size_of(symbol: Symbol, roles: set[str]) -> int:
    """How many entries are summed along these roles."""
    b, m, n = symbol.sizes
    return math.prod({"b": b, "m": m, "n": n, "mn": m * n}[role] for role in roles)
