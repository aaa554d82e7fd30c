"""The rows of the table: ways of running one step, each a name and a function that makes the program.

A row is added here and nowhere else.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from vae_fn.bench.subject import Step, Subject
from vae_fn.compiling import compile_step
from vae_fn.types import Tree

Advance = Callable[[Tree, int, int], Tree]
"""`advance(state, first, count)`: the state after the steps first, ..., first + count - 1; it may consume its state."""

REFERENCE = "eager"
"""The row that the others are compared with."""


class Variant(NamedTuple):
    """A way of running a step.

    Attributes:
        about: what it is, in a few words.
        make: the program, of a subject.
        compiled: whether anything is compiled.
        precision: what it computes in, if not what the step is written in.
        settings: changes of the model's settings that it takes.
        per_call: steps of one call; a program is asked for multiples of it.
        members: trainings that advance together.
    """

    about: str
    make: Callable[[Subject], Advance]
    compiled: bool = True
    precision: str | None = None
    settings: Mapping[str, Any] = MappingProxyType({})
    per_call: int = 1
    members: int = 1


def by_step(edge: Callable[[Step], Step]) -> Callable[[Subject], Advance]:
    """The program that calls a step anew for each step, passed once through `edge`."""

    def make(subject: Subject) -> Advance:
        step = edge(subject.step)

        def advance(state: Tree, first: int, count: int) -> Tree:
            for i in range(first, first + count):
                state, _ = step(state, *subject.inputs(i))
            return state

        return advance

    return make


VARIANTS: dict[str, Variant] = {
    "eager": Variant("the step as it is written", by_step(lambda step: step), compiled=False),
    "compiled": Variant("compiled whole, a new state every step", by_step(lambda s: compile_step(s, donate=False))),
    "donated": Variant("compiled whole, the new state in the old one's buffers", by_step(compile_step)),
}
