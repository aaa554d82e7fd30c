"""How the calls of a compiled graph are noted, and when they are not."""

from collections.abc import Callable, MutableMapping, Sequence
from threading import Lock, local
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from vae_fn.compiling import generated
from vae_fn.compiling.recording import Graph, InputView, RecordedCall, Recording, dense

ROOM = 64 << 20
"""Bytes of memory that a recording may keep. A step that needs more takes longer than its Python by far."""

COPIED = 64 << 10
"""Bytes that a step may copy for operators that return memory of their own."""

_recording = Lock()


class Recordings(local):
    """What a thread has recorded of graphs. A recording goes with its graph."""

    def __init__(self) -> None:
        self._of: MutableMapping[Graph, Recording | None] = WeakKeyDictionary()

    def record(self, graph: Graph, inputs: Sequence[Any]) -> Sequence[Any] | None:
        """Call a graph and record it: its outputs. None where that was tried before, or is left to a later call.

        Nobody waits for another recording to end: what is recorded there may be waiting for this thread. Memory that is
        made in torch's inference mode could not be written to outside of it.
        """
        if graph in self._of or torch.is_inference_mode_enabled() or not _recording.acquire(blocking=False):
            return None
        try:
            outputs, self._of[graph] = record(graph, inputs)
            return outputs
        finally:
            _recording.release()

    def replay(
        self, graph: Graph, inputs: Sequence[Any], chosen: Sequence[int], count: int, done: int
    ) -> list[Tensor] | None:
        """As `Recording.replay`, of the graph's recording; None where there is none."""
        recording = self._of.get(graph)
        if recording is None:
            return None
        del self._of[graph]  # a step that calls its own program must not write over what this one reads
        try:
            return recording.replay(inputs, chosen, count, done)
        finally:
            self._of[graph] = recording


def record(graph: Graph, inputs: Sequence[Any]) -> tuple[Sequence[Any], Recording | None]:
    """Call a graph of Inductor's and note what it does.

    Returns:
        What the graph returns, and the recording, which keeps all memory but that of the inputs. It is None where that
        could give other numbers or needs too much: not all inputs are tensors on the CPU, or one wants gradients; two
        share memory; the generated code has a loop, a branch or something else that is not known here; an operator
        returns a number, tensors whose sizes depend on numbers, or new memory that is not dense; `ROOM` or `COPIED` do
        not suffice.
    """
    code = generated.find(graph) if all(map(_plain, inputs)) else None
    if code is None:
        return graph(*inputs), None
    recorder = _Recorder(inputs)
    noting = generated.intercepted(recorder.make, code.current_callable)
    if noting is None:
        return graph(*inputs), None
    with generated.exchanged(code, noting) as times, recorder:
        outputs = graph(*inputs)
    return outputs, recorder.recording(outputs) if len(times) == 1 else None


class _Recorder(TorchDispatchMode):
    """Notes the calls of torch's operators, and others that it makes, until it refuses."""

    supports_higher_order_operators = True

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._inputs, self._numbers = inputs, {_storage(x): number for number, x in enumerate(inputs)}
        self._calls: list[RecordedCall] = []
        self._kept: dict[int, int] = {}
        self._copied, self._inside, self._refused = 0, False, len(self._numbers) < len(inputs)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.make(func, *args, **(kwargs or {}))

    def make(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call, whose own calls are not noted."""
        if self._inside or self._refused:
            return function(*args, **kwargs)
        self._inside = True
        try:
            return self._noted(function, args, kwargs, function(*args, **kwargs))
        finally:
            self._inside = False

    def recording(self, outputs: Sequence[Any]) -> Recording | None:
        """What was noted; None where an output comes from elsewhere."""
        known = all(
            isinstance(x, Tensor) and dense(x) and _storage(x) in {*self._kept, *self._numbers} for x in outputs
        )
        symbolic = self._symbolic(list(outputs))
        return Recording(self._calls, symbolic) if known and not self._refused else None

    def _noted(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Note a call. New memory that it returned is replaced by a copy: the operator may keep and reuse its own."""
        there = set(map(_storage, _tensors((args, kwargs))))
        leaves, structure = pytree.tree_flatten(result)
        new = [x if isinstance(x, Tensor) and _storage(x) not in there else None for x in leaves]
        self._copied += sum(x.nbytes for x in _tensors(new))
        self._refused |= self._unfit(function, leaves, new)
        if not self._refused:
            copies = [x if x is None else x.clone() for x in new]
            named = {name: self._symbolic(value) for name, value in kwargs.items()}
            returned = self._symbolic(copies) if _tensors(new) else []
            self._calls.append(RecordedCall(function, self._symbolic(list(args)), named, returned))
            result = structure.unflatten(x if copy is None else copy for x, copy in zip(leaves, copies, strict=True))
        self._refused |= sum(self._kept.values()) > ROOM
        if self._refused:
            self._calls.clear()  # with the memory that they keep
        return result

    def _unfit(self, function: Any, leaves: Sequence[Any], new: Sequence[Any]) -> bool:
        """Whether what a call returned may be another thing at the next step, or lies where it cannot be written to."""
        depends = torch.Tag.dynamic_output_shape in getattr(function, "tags", ())
        numbers = not all(x is None or isinstance(x, Tensor) for x in leaves)
        unseen = any(not dense(x) or _storage(x) in self._numbers for x in _tensors(new))
        return depends or numbers or unseen or self._copied > COPIED

    def _symbolic(self, value: Any) -> Any:
        """A value of a call in which tensors that lie in inputs are told by their places there."""
        if isinstance(value, list | tuple) and _tensors(value):
            return [self._symbolic(part) for part in value]
        if not isinstance(value, Tensor):
            self._refused |= bool(_tensors(value))
            return value
        number = self._numbers.get(_storage(value))
        if number is None:
            self._kept[_storage(value)] = value.untyped_storage().nbytes()
            self._refused |= value.device.type != "cpu"
            return value
        whole = self._inputs[number]
        if value is whole:
            return InputView(number, None)
        self._refused |= _kind(value) != _kind(whole)
        return InputView(number, (value.shape, value.stride(), int(value.storage_offset() - whole.storage_offset())))


def _plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cpu" and not value.requires_grad


def _kind(tensor: Tensor) -> tuple[torch.dtype, bool, bool]:
    return tensor.dtype, tensor.is_conj(), tensor.is_neg()


def _tensors(values: Any) -> list[Tensor]:
    return [x for x in pytree.tree_leaves(values) if isinstance(x, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
