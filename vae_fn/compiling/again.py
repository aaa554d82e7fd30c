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
from torch.overrides import has_torch_function

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

        None where a result is no output of the graph, as one that was there before, and where an input is a subclass
        with rules of its own for torch's functions, which torch.compile switches off around the graph.
        """
        numbers = {id(output): number for number, output in enumerate(self.outputs)}
        if has_torch_function(self.inputs) or not all(id(result) in numbers for result in results):
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
        self._compile = _compiler(backend)
        self._last = threading.local()

    def __call__(self, graph: fx.GraphModule, inputs: list[Any], **settings: Any) -> Graph:
        """Compile a graph."""
        compiled = self._compile(graph, inputs, **settings)

        def noted(*inputs: Any) -> Sequence[Any]:
            outputs = compiled(*inputs)
            self._last.call = Call(compiled, inputs, outputs)
            return outputs

        return noted

    def forget(self) -> Call | None:
        """Forget the last call in this thread, with its tensors, and tell it; None where there was none since."""
        return self._last.__dict__.pop("call", None)


def _compiler(backend: Backend) -> Callable[..., Any]:
    if backend == "inductor":  # whose entry in torch's register takes no options
        from torch._inductor import compile as compile_by_inductor

        return compile_by_inductor
    return torch._dynamo.lookup_backend(backend) if isinstance(backend, str) else backend
