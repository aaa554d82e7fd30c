"""The rows of the table: ways of running one step, each a name and a function that makes the program.

A row is added here and nowhere else.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from vae_fn.bench.subject import Step, Subject
from vae_fn.compiling import compile_epoch, compile_step, has_avx_512
from vae_fn.training.stretches import LONGEST
from vae_fn.types import Tree

Advance = Callable[[Tree, int], Tree]
"""`advance(state, count)`: the state after so many steps; it may consume the one that it is given."""

REFERENCE = "eager"
"""The row that the others are compared with."""


class Variant(NamedTuple):
    """A way of running a step.

    Attributes:
        about: what it is, in a few words.
        make: the program, of a subject.
        compiled: whether anything is compiled.
        only: the kind of device that it is for; None for any.
        settings: changes of the model's settings that it takes.
        lacking: what it needs and cannot have here, or None.
        whole_batches: whether it takes no micro-batches.
    """

    about: str
    make: Callable[[Subject], Advance]
    compiled: bool = True
    only: str | None = None
    settings: Mapping[str, Any] = MappingProxyType({})
    lacking: Callable[[], str | None] = lambda: None
    whole_batches: bool = False


def one_by_one(edge: Callable[[Step], Step]) -> Callable[[Subject], Advance]:
    """The program that calls a step anew for each step, passed once through `edge`."""

    def make(subject: Subject) -> Advance:
        step = edge(subject.step)

        def advance(state: Tree, count: int) -> Tree:
            for _ in range(count):
                state, _ = step(state, *subject.inputs)
            return state

        return advance

    return make


def many_at_once(edge: Callable[[Step], Callable[..., tuple[Any, Any]]]) -> Callable[[Subject], Advance]:
    """The program of calls that take up to `LONGEST` steps each: `edge(step)(state, count, *inputs)`."""

    def make(subject: Subject) -> Advance:
        many = edge(subject.step)

        def advance(state: Tree, count: int) -> Tree:
            for done in range(0, count, LONGEST):
                state, _ = many(state, min(LONGEST, count - done), *subject.inputs)
            return state

        return advance

    return make


VARIANTS: dict[str, Variant] = {
    "eager": Variant("the step as it is written", one_by_one(lambda step: step), compiled=False),
    "compiled": Variant(
        "compiled whole, a new state every step", one_by_one(partial(compile_step, donate=False, gemm="torch"))
    ),
    "donated": Variant(
        "compiled whole, the new state in the old one's buffers", one_by_one(partial(compile_step, gemm="torch"))
    ),
    "onednn": Variant(
        "donated, large float32 products by oneDNN", one_by_one(partial(compile_step, gemm="onednn")), only="cpu"
    ),
    "tiled": Variant(
        "donated, float32 products by this package's own code, where there is AVX-512",
        one_by_one(partial(compile_step, gemm="tiled")),
        only="cpu",
        lacking=lambda: (
            None if has_avx_512() else "needs AVX-512, which this processor lacks or ATEN_CPU_CAPABILITY forbids"
        ),
    ),
    "epoch": Variant(
        f"up to {LONGEST} donated steps a call, products by the default of the processor",
        many_at_once(compile_epoch),
    ),
    "cuda-graph": Variant(
        "as epoch, every step a replay of a CUDA graph",
        many_at_once(partial(compile_epoch, cuda_graph=True)),
        only="cuda",
        whole_batches=True,
    ),
    "bfloat16": Variant(
        "as epoch, networks in bfloat16, parameters, heads and losses as they were",
        many_at_once(compile_epoch),
        settings={"precision": "bfloat16"},
    ),
}
