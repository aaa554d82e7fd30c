"""The calls that a compiled graph makes, noted once and made again.

Between its kernels the Python that Inductor generates makes tensors, checks and frees them, at every step anew. That
takes a twentieth of the tutorial's step and a third of a small one (benchmarks/NOTES.md). But straight code calls the
same kernels whatever lies in its tensors. So its calls are noted, each with what it reads and writes, and made again.
"""

from collections.abc import Callable, MutableMapping, Sequence
from ctypes import memmove
from functools import partial
from threading import Lock, local
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from vae_fn.compiling import generated

Graph: TypeAlias = Callable[..., Sequence[Any]]
"""A compiled graph, from its inputs to its outputs."""

ROOM = 64 << 20
"""Bytes of memory that a recording may keep. A step that needs more takes longer than its Python by far."""

COPIED = 64 << 10
"""Bytes that a step may copy for operators that return memory of their own."""

ALONE = Lock()
"""Held while something is recorded. Who finds it held does that later: what a step calls may wait for its threads."""


class Given(NamedTuple):
    """A tensor that lies in an input of the graph: its size, strides and offset there; None where it is the input."""

    number: int
    view: tuple[tuple[int, ...], tuple[int, ...], int] | None

    def of(self, inputs: Sequence[Tensor]) -> Tensor:
        """The tensor, in other inputs."""
        whole = inputs[self.number]
        if self.view is None:
            return whole
        size, stride, further = self.view
        return whole.as_strided(size, stride, whole.storage_offset() + further)


class Noted(NamedTuple):
    """A call, and what it returned that did not lie in its arguments, if anything."""

    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    returned: list[Any]

    def on(self, inputs: Sequence[Tensor]) -> Callable[[], Any]:
        """The same call with other inputs of the graph."""
        kwargs = {name: _filled(value, inputs) for name, value in self.kwargs.items()}
        call = partial(self.function, *_filled(self.args, inputs), **kwargs)
        return partial(_into, self.returned, call) if self.returned else call


class Recording(NamedTuple):
    """What a graph did, in order, and what it returned."""

    calls: list[Noted]
    outputs: list[Any]

    def repeat(self, inputs: Sequence[Tensor], chosen: Sequence[int], count: int, done: int) -> list[Tensor]:
        """Do it again on these inputs, for the steps from `done` to `count`.

        Returns:
            Of each chosen output `(count, *shape)`. What a step that is done returned still lies in the recording.
        """
        calls = [call.on(inputs) for call in self.calls]
        outputs = [_filled(self.outputs[number], inputs) for number in chosen]
        rows = [output.new_empty(count, *output.shape) for output in outputs]
        places = [(_bytes(output), output.nbytes, _bytes(row)) for output, row in zip(outputs, rows, strict=True)]
        with torch._C._DisableAutocast():  # as torch does around a graph
            for step in range(count):
                if step >= done:
                    for call in calls:
                        call()
                for output, size, row in places:  # past torch, whose code has left the caches
                    row[step * size : (step + 1) * size] = output
        return rows


class Recordings(local):
    """What a thread has recorded of graphs, with None for those that cannot be; it goes with them."""

    def __init__(self) -> None:
        self.of: MutableMapping[Graph, Recording | None] = WeakKeyDictionary()


def record(graph: Graph, inputs: Sequence[Any]) -> tuple[Sequence[Any], Recording | None]:
    """Call a graph and note what it does.

    Returns:
        What the graph returns, and the recording, which keeps all memory but that of the inputs. It is None where the
        graph is not Inductor's for a CPU, gradients are wanted, what it does depends on the numbers in its tensors, it
        calls what is not known here, or too much would be kept.
    """
    code = generated.find(graph) if all(map(_plain, inputs)) else None
    if code is None:
        return graph(*inputs), None
    recorder = _Recorder(inputs)
    noting = generated.led_through(recorder.make, code.current_callable)
    if noting is None:
        return graph(*inputs), None
    with generated.in_place(code, noting) as times, recorder:
        outputs = graph(*inputs)
    return outputs, recorder.recording(outputs) if len(times) == 1 else None


class _Recorder(TorchDispatchMode):
    """Notes the calls of torch's operators, and others that it makes, until it refuses."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._inputs, self._numbers = inputs, {_place(x): number for number, x in enumerate(inputs)}
        self._calls: list[Noted] = []
        self._kept: dict[int, int] = {}
        self._copied, self._inside, self._refused = 0, False, len(self._numbers) < len(inputs)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self._refused = True  # a number was read out of a tensor, on which the rest may depend
        return self.make(func, *args, **(kwargs or {}))

    def make(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call, whose own calls are not noted."""
        if self._inside or self._refused:
            return function(*args, **kwargs)
        self._inside = True
        try:
            result = function(*args, **kwargs)
            return self._note(function, args, kwargs, result)
        finally:
            self._inside = False

    def recording(self, outputs: Sequence[Any]) -> Recording | None:
        """What was noted."""
        told, dense = self._told(list(outputs)), all(isinstance(x, Tensor) and _dense(x) for x in outputs)
        return Recording(self._calls, told) if dense and not self._refused else None

    def _note(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Note a call. What it returned, but for memory of its own, which it may keep for itself, a copy."""
        there = set(map(_place, _tensors((args, kwargs))))
        leaves, structure = pytree.tree_flatten(result)
        own = [x.clone() if isinstance(x, Tensor) and _place(x) not in there else None for x in leaves]
        named = {name: self._told(value) for name, value in kwargs.items()}
        self._calls.append(Noted(function, self._told(list(args)), named, self._told(own) if _tensors(own) else []))
        self._copied += sum(x.nbytes for x in _tensors(own))
        self._refused |= any(x is not None and not _dense(leaf) for x, leaf in zip(own, leaves, strict=True))
        self._refused |= any(_place(x) in self._numbers for x in _tensors(leaves) if _place(x) not in there)
        self._refused |= self._copied > COPIED or sum(self._kept.values()) > ROOM
        if self._refused:
            self._calls.clear()  # with the memory that they keep
            return result
        return structure.unflatten(leaf if x is None else x for x, leaf in zip(own, leaves, strict=True))

    def _told(self, value: Any) -> Any:
        """A value in which tensors that lie in inputs are told by their places there."""
        if isinstance(value, list | tuple) and _tensors(value):
            return [self._told(part) for part in value]
        if not isinstance(value, Tensor):
            return value
        number = self._numbers.get(_place(value))
        if number is None:
            self._kept[_place(value)] = value.untyped_storage().nbytes()
            return value
        whole = self._inputs[number]
        if value is whole:
            return Given(number, None)
        self._refused |= _kind(value) != _kind(whole)
        return Given(number, (value.shape, value.stride(), int(value.storage_offset() - whole.storage_offset())))


def _filled(value: Any, inputs: Sequence[Tensor]) -> Any:
    """What was told, in other inputs of the graph."""
    if isinstance(value, Given):
        return value.of(inputs)
    return [_filled(part, inputs) for part in value] if isinstance(value, list) else value


def _into(places: Sequence[Tensor | None], call: Callable[[], Any]) -> None:
    """Make a call and put what it returns to where it was returned first, past torch too."""
    for place, value in zip(places, pytree.tree_leaves(call()), strict=True):
        if place is None:
            continue
        if value.shape != place.shape or value.dtype != place.dtype or not _dense(value):
            raise RuntimeError(
                f"an operator returned {value.dtype} of shape {tuple(value.shape)} and strides {value.stride()}, and "
                f"{place.dtype} of shape {tuple(place.shape)} at the step before: it must keep to one form"
            )
        memmove(place.data_ptr(), value.data_ptr(), place.nbytes)


def _dense(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def _kind(tensor: Tensor) -> tuple[torch.dtype, bool, bool]:
    return tensor.dtype, tensor.is_conj(), tensor.is_neg()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cpu" and not value.requires_grad


def _tensors(values: Any) -> list[Tensor]:
    return [x for x in pytree.tree_leaves(values) if isinstance(x, Tensor)]


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
