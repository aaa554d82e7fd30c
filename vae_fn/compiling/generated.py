"""The Python that Inductor generates for a graph, and its calls led through another function."""

import dis
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

from torch import Tensor

Made: TypeAlias = Callable[..., Any]
"""A function `(function, *args, **kwargs)` that makes this call."""

KNOWN = {"torch", "aten", "empty_strided_cpu", "reinterpret_tensor"}
"""What generated code names besides kernels and assertions: torch's operators, and what touches no number."""


def find(graph: Callable[..., Any]) -> Any:
    """Inductor's object that calls the generated code, behind all that torch wraps around it; None if it is not alone.

    Torch has no name for the way there, which differs between a graph that was compiled and one from a cache. Nor is
    the object public: where torch lacks it, nothing is found.
    """
    try:
        from torch._inductor.output_code import CompiledFxGraph
    except ImportError:
        return None
    found, seen, ahead = [], {id(graph)}, [graph]
    while ahead:
        value = ahead.pop()
        if isinstance(value, CompiledFxGraph):
            found.append(value)
        elif isinstance(value, FunctionType | CellType | MethodType | partial | tuple | list | dict):
            module = value.__globals__ if isinstance(value, FunctionType) else None
            others = [other for other in gc.get_referents(value) if other is not module and id(other) not in seen]
            seen.update(map(id, others))
            ahead.extend(others)
    return found[0] if len(found) == 1 and hasattr(found[0], "current_callable") else None


def intercepted(make: Made, call: Callable[..., Any]) -> Callable[..., Any] | None:
    """Generated code whose kernels and functions beside torch's operators are called by `make`.

    None where it is no plain function or names something that is not known here, such as the code of a loop.
    """
    function: Any = getattr(call, "__func__", call)
    if not isinstance(function, FunctionType) or function.__closure__ or "partitions" in function.__code__.co_names:
        return None
    names = {step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL"}
    if any(isinstance(constant, CodeType) for constant in function.__code__.co_consts):
        return None
    space = dict(function.__globals__)
    for name in names:
        value = space.get(name)
        if name in KNOWN or name.startswith("assert_") or isinstance(value, Tensor):
            continue
        if name == "extern_kernels":
            space[name] = _Externs(value, make)
        elif isinstance(value, BuiltinFunctionType) and value.__name__ == "kernel":
            space[name] = partial(make, value)
        else:
            return None
    led = FunctionType(function.__code__, space, function.__name__)
    return MethodType(led, call.__self__) if isinstance(call, MethodType) else led


@contextmanager
def exchanged(code: Any, call: Callable[..., Any]) -> Iterator[list[None]]:
    """Let this thread call another function for the generated code; the list has an entry for every time."""
    own, thread, times = code.current_callable, get_ident(), list[None]()

    def either(inputs: list[Any]) -> Any:
        if get_ident() != thread:
            return own(inputs)
        times.append(None)
        return call(inputs)

    code.current_callable = either
    try:
        yield times
    finally:
        code.current_callable = own


class _Externs:
    """Functions beside torch's operators, such as own products: each is called by `make`."""

    def __init__(self, externs: Any, make: Made) -> None:
        self._externs, self._make = externs, make

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._make, getattr(self._externs, name))
