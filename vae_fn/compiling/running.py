"""Code that a compiler takes in by running it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def traced_by_running(fn: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    """A pure function of tensors whose operations a compiled graph takes over as they run, once, on shapes alone.

    Otherwise the compiler reads a function's code, and stops where that makes functions, as what builds an algorithm
    does (torch 2.14). Outside of a compiled function this is the function itself.
    """
    marked: Any = torch._dynamo.nonstrict_trace(fn)
    return marked
