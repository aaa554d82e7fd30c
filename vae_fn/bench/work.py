"""What a step computes and moves, counted on the eager step."""

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from vae_fn.bench.subject import Subject, clone, size_in_bytes


class Layout(NamedTuple):
    """A tensor without its numbers."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class Product(NamedTuple):
    """A matrix product or convolution: torch's operation, and its arguments with tensors as their layouts."""

    op: Any
    args: tuple[Any, ...]


class Work(NamedTuple):
    """What one step does.

    Attributes:
        flops: floating-point operations of its products, as `torch.utils.flop_counter` counts: two for a multiplication
            and its addition. What is done to single elements is not counted.
        products: how often it does each.
        state_bytes: of the state, which is read and written.
    """

    flops: int
    products: Counter[Product]
    state_bytes: int


def work_of(subject: Subject) -> Work:
    """Count the first step, run eagerly."""
    state, products = clone(subject.state), _Products()
    with FlopCounterMode(display=False) as counter, products:
        subject.step(state, *subject.inputs)
    return Work(counter.get_total_flops(), products.seen, size_in_bytes(state))


class _Products(TorchDispatchMode):
    """Writes down every operation that has a count of floating-point operations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in flop_registry and not kwargs:
            self.seen[Product(func, _layouts(args))] += 1
        return func(*args, **(kwargs or {}))


def _layouts(args: Any) -> Any:
    if isinstance(args, Tensor):
        return Layout(tuple(args.shape), args.stride(), args.dtype, args.device)
    return tuple(map(_layouts, args)) if isinstance(args, list | tuple) else args


def operands(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a product with tensors again, of ones: the numbers do not change the time."""
    return tuple(_operand(arg) for arg in args)


def _operand(arg: Any) -> Any:
    if isinstance(arg, Layout):
        return torch.empty_strided(arg.shape, arg.stride, dtype=arg.dtype, device=arg.device).fill_(1.0)
    return operands(arg) if isinstance(arg, tuple) else arg
