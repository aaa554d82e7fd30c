"""The calls that a compiled graph makes, noted once and made again.

Between its kernels the Python that Inductor generates makes tensors, checks and frees them, at every step anew. That
takes 2 to 10 % of the tutorial's step and a third of a small one (benchmarks/NOTES.md). But straight code calls the
same kernels whatever lies in its tensors. So its calls are noted, each with what it reads and writes, and made again.
"""

from collections.abc import Callable, Sequence
from ctypes import memmove
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Graph: TypeAlias = Callable[..., Sequence[Any]]
"""A compiled graph, from its inputs to its outputs."""


class InputView(NamedTuple):
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


class RecordedCall(NamedTuple):
    """A call, and copies of what it returned in new memory, if anything."""

    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    returned: list[Any]

    def on(self, inputs: Sequence[Tensor]) -> Callable[[], Any]:
        """The same call with other inputs of the graph."""
        kwargs = {name: _bound(value, inputs) for name, value in self.kwargs.items()}
        call = partial(self.function, *_bound(self.args, inputs), **kwargs)
        return partial(_into, self.returned, call) if self.returned else call


class Recording(NamedTuple):
    """What a graph did, in order, and what it returned."""

    calls: list[RecordedCall]
    outputs: list[Any]

    def replay(self, inputs: Sequence[Tensor], chosen: Sequence[int], count: int, done: int) -> list[Tensor]:
        """Do it again on these inputs, for the steps from `done` to `count`.

        Returns:
            Of each chosen output `(count, *shape)`. What a step that is done returned still lies in the recording.

        Raises:
            RuntimeError: an operator returns tensors of another form than when the step was recorded.
        """
        calls = [call.on(inputs) for call in self.calls]
        outputs = [_bound(self.outputs[number], inputs) for number in chosen]
        rows = [output.new_empty(count, *output.shape) for output in outputs]
        copies = [(_bytes(output), output.nbytes, _bytes(row)) for output, row in zip(outputs, rows, strict=True)]
        # A step's report goes as bytes, as torch takes longer for so little (benchmarks/NOTES.md).
        with torch.no_grad(), torch.autocast("cpu", enabled=False):  # as torch has it around a graph
            for step in range(count):
                if step >= done:
                    for call in calls:
                        call()
                for output, size, row in copies:
                    row[step * size : (step + 1) * size] = output
        return rows


def _bound(value: Any, inputs: Sequence[Tensor]) -> Any:
    """What was symbolic, in other inputs of the graph."""
    if isinstance(value, InputView):
        return value.of(inputs)
    return [_bound(part, inputs) for part in value] if isinstance(value, list) else value


def _into(places: Sequence[Tensor | None], call: Callable[[], Any]) -> None:
    """Make a call and copy its results to where the first ones lie; `memmove`, as `copy_` costs more than the bytes."""
    values = pytree.tree_leaves(call())
    if len(values) != len(places):
        raise RuntimeError(
            f"an operator returned {len(values)} values, and {len(places)} when the step was recorded: it must keep to "
            "one form"
        )
    for place, value in zip(places, values, strict=True):
        if place is None:
            continue
        if value.shape != place.shape or value.dtype != place.dtype or not dense(value):
            raise RuntimeError(
                f"an operator returned {value.dtype} of shape {tuple(value.shape)} and strides {value.stride()}, and "
                f"{place.dtype} of shape {tuple(place.shape)} when the step was recorded: it must keep to one form"
            )
        memmove(place.data_ptr(), value.data_ptr(), place.nbytes)


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def dense(tensor: Tensor) -> bool:
    """Whether its numbers lie in order on the CPU, as they are."""
    strided = tensor.device.type == "cpu" and tensor.layout == torch.strided
    return strided and tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()
