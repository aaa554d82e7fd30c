"""A compiled graph called again on the same tensors, past all that Python does before and after it.

Between two steps of a donated state nothing changes but what lies in its tensors: what the first step's graph was
given, the second's is given too. So the first step of a call goes the usual way, which asks whether the program still
fits, and the others go to its graph.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, fx

Backend: TypeAlias = str | Callable[..., Any]
"""As in `torch.compile`: a name, or a function of a graph and its inputs."""

Graph: TypeAlias = Callable[..., Sequence[Any]]
"""A compiled graph, from its inputs to its outputs."""


class Call(NamedTuple):
    """A call of a graph: what it was given, and what it gave."""

    graph: Graph
    inputs: tuple[Any, ...]
    outputs: Sequence[Any]

    def again(self, results: Sequence[Tensor]) -> Callable[[], list[Tensor]] | None:
        """The call repeated on the same inputs, for those of its outputs that became `results`.

        None where a result is no output of the graph, as one that was there before.
        """
        numbers = {id(output): number for number, output in enumerate(self.outputs)}
        if not all(id(result) in numbers for result in results):
            return None
        graph, inputs, chosen = self.graph, self.inputs, [numbers[id(result)] for result in results]

        def repeat() -> list[Tensor]:
            outputs = graph(*inputs)
            return [outputs[number] for number in chosen]

        return repeat


class Watched:
    """A backend for `torch.compile` that compiles as another one does, and knows the last call of its graphs.

    Attributes:
        backend: the other one.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.__name__ = str(getattr(backend, "__name__", backend))  # which torch's messages give
        self._last = threading.local()

    def __call__(self, graph: fx.GraphModule, inputs: list[Any], **settings: Any) -> Graph:
        """Compile a graph."""
        compiled = self._compiler()(graph, inputs, **settings)

        def noted(*inputs: Any) -> Sequence[Any]:
            outputs = compiled(*inputs)
            self._last.call = Call(compiled, inputs, outputs)
            return outputs

        return noted

    def last(self) -> Call | None:
        """The last call in this thread since this was asked, or None; it is forgotten here, with its tensors."""
        return self._last.__dict__.pop("call", None)

    def _compiler(self) -> Callable[..., Any]:
        if self.backend == "inductor":
            from torch._inductor import compile as compile_by_inductor

            return compile_by_inductor
        return torch._dynamo.lookup_backend(self.backend) if isinstance(self.backend, str) else self.backend
