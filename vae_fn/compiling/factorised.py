"""Pure functions of per-example gradients, compiled or traced so that these are formed only where something needs them.

See `low_rank`. It works on graphs of ATen operations, which torch does not promise to keep as they are: where it lacks
what is used here, functions are compiled as others are, and nothing is traced.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from vae_fn.compiling.again import Backend
from vae_fn.compiling.gemm import Gemm
from vae_fn.compiling.pure import compile_pure


class Traced(NamedTuple):
    """A function for arguments of one form, as operations that run one by one.

    Attributes:
        run: the function; tensors that it closes over are held as they are.
        numbers: how many numbers it computes on its way; views are not counted.
        rewritten: how many reductions take factors.
    """

    run: Callable[..., Any]
    numbers: int
    rewritten: int


def compile_factorised(
    fn: Callable[..., Any], *, gemm: Gemm | None = None, backend: Backend = "inductor"
) -> Callable[..., Any]:
    """Compile a pure function as `compile_pure` does, its reductions of per-example gradients from factors.

    Norms, inner products, second moments and sums over the examples of float32 gradients of linear layers, and of what
    is linear in these, are rewritten: nothing of the size of batch times a layer's weights is stored for them.
    All else is as written: second moments and variances of seven or more rows an example, layers whose rows of input
    and output hold more than half as many numbers as the weights, convolutions, float64, and a batch of 1.
    """
    return compile_pure(fn, gemm=gemm, backend=backend, options=factorising() if backend == "inductor" else None)


def trace_factorised(fn: Callable[..., Any], *args: Any) -> Traced | None:
    """Trace a pure function on the shapes of its arguments, its reductions rewritten as in `compile_factorised`.

    It is ready in a second or two, needs no compiler, and runs as fast as its matrix products where these are large.
    None where torch cannot do it.
    """
    try:
        from torch._inductor.decomposition import select_decomp_table
        from torch.fx.experimental.proxy_tensor import make_fx

        from vae_fn.compiling.low_rank.rewriting import rewrite
    except ImportError:
        return None
    functional = torch.func.functionalize(fn, remove="mutations")  # the pass takes every value for what it was made as
    module = make_fx(functional, select_decomp_table(), tracing_mode="fake", _allow_non_fake_inputs=True)(*args)
    rewritten = rewrite(module.graph)
    module.recompile()
    return Traced(module, sum(map(_numbers, module.graph.nodes)), rewritten)


def factorising() -> dict[str, Any] | None:
    """The pass as an option of Inductor, known to its cache by its source; None where torch lacks what it needs."""
    try:
        from torch._dynamo.utils import counters
        from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

        from vae_fn.compiling.low_rank.rewriting import rewrite
    except ImportError:
        return None

    class Pass(CustomGraphPass):
        def __call__(self, graph: fx.Graph) -> None:
            counters["vae_fn"]["factorised"] += rewrite(graph)

        def uuid(self) -> bytes:
            here = Path(__file__)
            return get_hash_for_files(tuple(map(str, [here, *sorted((here.parent / "low_rank").glob("*.py"))])))

    return {"post_grad_custom_pre_pass": Pass()}


def _numbers(node: fx.Node) -> int:
    found = node.meta.get("val")
    if not isinstance(found, Tensor) or node.op != "call_function":
        return 0
    views = isinstance(node.target, torch._ops.OpOverload) and any(r.alias_info for r in node.target._schema.returns)
    return 0 if views else found.numel()
