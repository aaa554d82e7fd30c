"""What calling a program costs: the same machinery around a step that copies a tree of the same form."""

import time
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.bench.subject import Subject
from vae_fn.bench.variants import Variant
from vae_fn.bench.windows import Clock, Runner
from vae_fn.types import Tree

STEPS = 200
"""Of a window."""

WINDOWS = 5
"""Of which the fastest counts."""


def overhead_us(variant: Variant, subject: Subject, clock: Clock = time.perf_counter) -> float:
    """Microseconds of a step: guards, arguments, launching.

    The state has as many leaves as the subject's, of one element each, and the step copies each.
    """
    small = subject._replace(step=_copy, state=tree.map(_one_element, subject.state))
    runner = Runner(variant.make(small), small.state)
    runner.milliseconds(1, clock)
    return 1e3 * min(runner.milliseconds(STEPS, clock) for _ in range(WINDOWS))


def _copy(state: Tree, *inputs: Any) -> tuple[Tree, Tensor]:
    return tree.map(torch.clone, state), tree.leaves(state)[0].clone()


def _one_element(leaf: Tensor) -> Tensor:
    return leaf.flatten()[:1].clone()
