"""`torch.compile` as it is used here: whole graphs of static shapes, or an error."""

from collections.abc import Callable
from typing import Any

import torch


def compile_pure(
    fn: Callable[..., Any],
    *,
    backend: str | Callable[..., Any] = "inductor",
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compile a pure function whole, as one graph of static shapes.

    Args:
        fn: a graph break in it is an error, a new shape of its arguments a second graph.
        backend: as in `torch.compile`; a function of a graph and its inputs sees every graph that is made.
        options: of the backend, for this function alone, such as passes over its graph.
    """

    def isolated(*args: Any) -> Any:
        return fn(*args)

    # Dynamo counts graphs by code object: with one of its own, a function is not charged for the graphs of others.
    isolated.__code__ = isolated.__code__.replace()
    return torch.compile(isolated, fullgraph=True, dynamic=False, backend=backend, options=options)
