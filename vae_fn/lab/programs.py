"""How the draws of one contender are run: eager, compiled, or traced with their sums from factors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from vae_fn import random, tree
from vae_fn.compiling.factorised import Traced, trace_factorised
from vae_fn.lab.streaming import BUDGET, MOST, chunk_size, evenly, numbers_of
from vae_fn.lab.subject import Data, Subject, dtype_of
from vae_fn.types import Params

Edge = Callable[[Callable], Callable]
"""What is done to the function of a chunk of draws before it is run, such as compiling it; where it is long enough."""

WORTH = 4e9
"""The numbers to compute from which on the edge is taken: about twice where compiling begins to pay on two cores."""

SAVED = 3
"""How many times fewer numbers a traced function computes, at least: it is not fused."""


class Program(NamedTuple):
    """The function `(x, reference, keys) -> Sums` of chunks of one length."""

    chunk: Callable[..., Any]
    size: int


def program(subject: Subject, x: Data, draws: int, count: int, edge: Edge) -> Program:
    """How to run some draws of each of `count` data like x.

    Sums of gradients in float32 come from factors where that saves most of the numbers: these sums are float64, and
    lose less than the rounding of a gradient does, however near the reference is.
    """
    function, zero = subject.chunk(x), tree.zeros_like(subject.params)
    numbers = numbers_of(function, x, zero, random.split(random.key(0), 1))
    size = chunk_size(numbers, draws)
    if numbers * draws * count <= WORTH:
        return Program(function, size)
    narrow = dtype_of(subject.params) is torch.float32
    return (_factorised(function, x, zero, numbers, draws) if narrow else None) or Program(edge(function), size)


def _factorised(function: Callable, x: Data, reference: Params, numbers: int, draws: int) -> Program | None:
    """The traced function of the longest chunks that fit, if its sums come from factors."""
    size = min(draws, MOST)
    traced = _traced(function, x, reference, size)
    if traced is not None and traced.numbers > BUDGET:
        size = evenly(draws, max(1, size * BUDGET // traced.numbers))
        traced = _traced(function, x, reference, size)
    if traced is None or traced.numbers > numbers * size / SAVED:
        return None
    return Program(traced.run, size)


def _traced(function: Callable, x: Data, reference: Params, size: int) -> Traced | None:
    return trace_factorised(function, x, reference, random.split(random.key(0), size))
