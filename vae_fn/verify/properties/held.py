"""What a function holds without being given it: in closures, globals, bound objects and modules."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils import _pytree as pytree

PLAIN = (int, float, complex, str, bytes, type(None), np.ndarray)
"""What is no tensor and can still keep a state."""


def held_tensors(fn: Callable) -> dict[str, Tensor]:
    """By name: what `fn` closes over, the globals it names, the arguments of a partial, the attributes of its object.

    Functions that it closes over are looked into, those that it finds as globals are not.
    """
    return {name: leaf for name, leaf in _leaves(fn).items() if isinstance(leaf, Tensor)}


def held_numbers(fn: Callable) -> dict[str, Any]:
    """The same for numbers, words and arrays of numpy, each as what tells it from others."""
    found = {name: leaf for name, leaf in _leaves(fn).items() if isinstance(leaf, PLAIN)}
    return {name: leaf.tobytes() if isinstance(leaf, np.ndarray) else repr(leaf) for name, leaf in found.items()}


def _leaves(fn: Callable) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _held(fn, {}):
        pairs, _ = pytree.tree_flatten_with_path(value)
        for path, leaf in pairs:
            place = f"{name}{pytree.keystr(path)}"
            found |= _of_module(place, leaf) if isinstance(leaf, nn.Module) else {place: leaf}
    return found


def _of_module(name: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{path}": leaf for path, leaf in module.state_dict(keep_vars=True).items()}


def _held(fn: Any, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    if id(fn) in seen:
        return
    seen[id(fn)] = fn  # alive, or a bound method made for a moment would leave its id to another
    if isinstance(fn, functools.partial):
        yield "partial", (fn.args, fn.keywords)
        yield from _held(fn.func, seen)
    elif isinstance(fn, nn.Module):
        yield type(fn).__name__, fn
    elif inspect.ismethod(fn):
        owner = fn.__self__
        yield type(owner).__name__, owner if isinstance(owner, nn.Module) else getattr(owner, "__dict__", owner)
        yield from _held(fn.__func__, seen)
    elif inspect.isfunction(fn):
        outside = inspect.getclosurevars(fn)
        for name, value in [*outside.nonlocals.items(), *outside.globals.items()]:
            yield name, value
            if name in outside.nonlocals and callable(value):
                yield from _held(value, seen)
    elif inspect.isfunction(inspect.getattr_static(type(fn), "__call__", None)):
        yield from _held(fn.__call__, seen)
