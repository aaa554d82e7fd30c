"""Examples as calls of functions."""

import functools
import random
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def built(fn: Callable[..., T], *args: SearchStrategy, **kwargs: SearchStrategy) -> SearchStrategy[T]:
    """`st.builds`, for functions that are checked by beartype too.

    Beartype chooses by Python's global generator which item of a sequence it looks at, and Hypothesis refuses
    strategies that move that generator: it is put back.
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> T:
        state = random.getstate()
        try:
            return fn(*args, **kwargs)
        finally:
            random.setstate(state)

    return st.builds(call, *args, **kwargs)
