"""A compiled graph called again on the same tensors, past all that Python does before and after it.

Between two steps of a donated state nothing changes but what lies in its tensors: what the first step's graph was
given, the second's is given too. So the first step of a call goes the usual way, which asks whether the program still
fits, and the others go to its graph, or to a recording of what that calls.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, fx
from torch.overrides import has_torch_function

from vae_fn.compiling.recorder import Recordings
from vae_fn.compiling.recording import Graph

Backend: TypeAlias = str | Callable[..., Any]
"""As in `torch.compile`: a name, or a function of a graph and its inputs."""


class Call(NamedTuple):
    """A call of a graph: what it was given, and what it gave."""

    graph: Graph
    inputs: tuple[Any, ...]
    outputs: Sequence[Any]

    def again(self, results: Sequence[Tensor], count: int, recordings: Recordings | None) -> list[Tensor] | None:
        """The call repeated on the same inputs: `(count, *shape)` of those of its outputs that became `results`.

        None where a result is no output of the graph, as one that was there before, and where an input is a subclass
        with rules of its own for torch's functions, which torch.compile switches off around the graph.

        Args:
            results: outputs, as the call gave them.
            count: of the steps that are left.
            recordings: where the graph may be recorded, or None.

        Raises:
            RuntimeError: an operator of a recorded step changes the form of what it returns.
        """
        numbers = {id(output): number for number, output in enumerate(self.outputs)}
        if has_torch_function(self.inputs) or not all(id(result) in numbers for result in results):
            return None
        chosen, rows = [numbers[id(result)] for result in results], []
        if count > 0 and recordings is not None:
            outputs = recordings.record(self.graph, self.inputs)
            rows += [] if outputs is None else [[outputs[number] for number in chosen]]
            replayed = recordings.replay(self.graph, self.inputs, chosen, count, done=len(rows))
            if replayed is not None:
                return replayed
        for _ in range(count - len(rows)):
            outputs = self.graph(*self.inputs)
            rows.append([outputs[number] for number in chosen])
        return stacked(rows, results)


def stacked(rows: Sequence[Sequence[Tensor]], like: Sequence[Tensor]) -> list[Tensor]:
    """The columns of rows of tensors, such as those in `like`, of which there may be none."""
    columns = zip(*rows, strict=True) if rows else ((leaf,) for leaf in like)
    return [torch.stack(column)[: len(rows)] for column in columns]


class Watched:
    """A backend for `torch.compile` that compiles as another one does, and knows the last call of its graphs.

    Attributes:
        backend: the other one.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.__name__ = str(getattr(backend, "__name__", backend))  # which torch's messages give
        self._compile = _compiler(backend)
        self._here = threading.local()

    def __call__(self, graph: fx.GraphModule, inputs: list[Any], **settings: Any) -> Graph:
        """Compile a graph."""
        compiled = self._compile(graph, inputs, **settings)

        def noted(*inputs: Any) -> Sequence[Any]:
            outputs = compiled(*inputs)
            self._here.call = Call(compiled, inputs, outputs)
            return outputs

        return noted

    def forget(self) -> Call | None:
        """Forget the last call in this thread, with its tensors, and tell it; None where there was none since."""
        return self._here.__dict__.pop("call", None)


def _compiler(backend: Backend) -> Callable[..., Any]:
    if backend == "inductor":  # whose entry in torch's register takes no options
        from torch._inductor import compile as compile_by_inductor

        return compile_by_inductor
    return torch._dynamo.lookup_backend(backend) if isinstance(backend, str) else backend
