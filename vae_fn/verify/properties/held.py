"""The tensors that a function holds without being given them: in closures, globals, bound objects and modules."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree


def held_tensors(fn: Callable) -> dict[str, Tensor]:
    """By name: what `fn` closes over, the globals it names, the arguments of a partial, the attributes of its object.

    Functions that it closes over are looked into, those that it finds as globals are not.
    """
    found: dict[str, Tensor] = {}
    for name, value in _held(fn, set()):
        if isinstance(value, nn.Module):
            found |= {f"{name}.{path}": leaf for path, leaf in value.state_dict(keep_vars=True).items()}
        else:
            pairs, _ = pytree.tree_flatten_with_path(value)
            found |= {f"{name}{pytree.keystr(path)}": leaf for path, leaf in pairs}
    return {name: leaf for name, leaf in found.items() if isinstance(leaf, Tensor)}


def _held(fn: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(fn) in seen:
        return
    seen.add(id(fn))
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
