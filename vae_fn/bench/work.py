"""What a step computes and moves, counted on the eager step."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

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
    """Count the first step, run eagerly; what a loop does counts as often as it does it."""
    state = clone(subject.state)
    with _Counter() as counter:
        subject.step(state, *subject.inputs)
    return Work(counter.flops, counter.products, size_in_bytes(state))


class _Counter(TorchDispatchMode):
    """Writes down every operation that has a count of floating-point operations."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return func(*(self._counted(arg) if callable(arg) else arg for arg in args), **kwargs)
        if func.overloadpacket in flop_registry:
            return self._product(func, args, kwargs)
        with self:  # in inference mode products come inside of others, such as a linear layer
            result = func.decompose(*args, **kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result

    def _product(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        self.flops += flop_registry[func.overloadpacket](*args, **kwargs, out_val=result)
        if not kwargs:
            self.products[Product(func, _layouts(args))] += 1
        return result

    def _counted(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """A function of an operator, such as a loop's body: torch calls it with this mode switched off."""

        def run(*args: Any) -> Any:
            with self:
                return fn(*args)

        return run


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
