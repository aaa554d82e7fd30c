"""`torch.compile` as it is used here: whole graphs of static shapes, or an error."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.compiling import ahead
from vae_fn.compiling.again import Backend, Watched
from vae_fn.compiling.garbage import resting
from vae_fn.compiling.gemm import Gemm, check_gemm, gemm_options
from vae_fn.compiling.memory import keep_freed
from vae_fn.errors import described


def compile_pure(
    fn: Callable[..., Any],
    *,
    gemm: Gemm | None = None,
    backend: Backend = "inductor",
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compile a pure function whole, as one graph of static shapes.

    Args:
        fn: a graph break in it is an error, a new shape of its arguments a second graph.
        gemm: which code multiplies matrices on a CPU; None is the faster one, where that is known.
        backend: as in `torch.compile`; a function of a graph and its inputs sees every graph that is made.
        options: of Inductor, for this function alone, such as passes over its graph; they win over those of `gemm`.

    Returns:
        The compiled function. An exception that the function itself raises while it is traced comes out as it is; for
        that the function is run again, on shapes alone.

    Raises:
        TypeError: what is to be compiled is no function.
        ValueError: `gemm` is unknown, or asked of a backend that is not Inductor.
    """
    from torch._dynamo.exc import Unsupported  # slow to import, and here it is needed anyway

    check_function(fn)
    inductor = (backend.backend if isinstance(backend, Watched) else backend) == "inductor"
    check_gemm(gemm, inductor)

    def isolated(*args: Any) -> Any:
        return fn(*args)

    # Dynamo counts graphs by code object: with one of its own, a function is not charged for the graphs of others.
    isolated.__code__ = isolated.__code__.replace()
    own = {}
    if inductor:
        keep_freed()
        ahead.begin()
        own = {**_loops_are_kept(), **ahead.trusted(), **gemm_options(gemm)}
    merged = {**own, **(options or {})}  # a copy of its own, as torch takes out what it reads
    compiled = torch.compile(isolated, fullgraph=True, dynamic=False, backend=backend, options=merged or None)

    def run(*args: Any) -> Any:
        try:
            return compiled(*args)
        except Unsupported as refusal:
            fault = refusal
        raise _raised(fn, args, fault) or fault

    return _first_in(resting, run)


def _first_in(surroundings: Callable[[], AbstractContextManager[None]], fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose first call, which traces it, is made within a context."""
    fresh = [True]

    def run(*args: Any) -> Any:
        if not fresh or torch.compiler.is_compiling():
            return fn(*args)
        fresh.clear()
        with surroundings():
            return fn(*args)

    return run


def check_function(fn: Any) -> None:
    """Hold what is to be compiled against what can be called.

    Raises:
        TypeError: it is no function.
    """
    if not callable(fn):
        raise TypeError(f"what is compiled must be a function, not {described(fn)}: of an algorithm it is its step")


def _raised(fn: Callable[..., Any], args: Sequence[Any], fault: Exception) -> Exception | None:
    """What the function itself raises on such shapes, if that is what Dynamo tells between its own words."""

    def call() -> Any:
        return fn(*pytree.tree_map(lambda x: torch.empty_like(x) if isinstance(x, Tensor) else x, list(args)))

    try:
        tree.shapes_of(call)
    except Exception as own:
        return own if f"raised exception {own!r}" in str(fault) else None
    return None


@cache
def _loops_are_kept() -> dict[str, Any]:
    """The option that lets Inductor's cache take graphs with a loop: a second process then starts in seconds.

    Torch leaves loops out as nobody has vouched for their keys, which are made of the code of all parts of a graph.
    """
    from torch._higher_order_ops.while_loop import while_loop_op
    from torch._inductor import config

    name = "unsafe_marked_cacheable_functions"
    loop = f"{while_loop_op.__module__}.{while_loop_op.__name__}"
    return {name: {loop: torch.__version__}} if hasattr(config, name) else {}
