"""A window of calls, timed; programs that are compared take theirs in turn."""

import time
from collections.abc import Callable
from typing import Any


def seconds(program: Callable[[], Any], calls: int) -> float:
    """The mean time of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        program()
    return (time.perf_counter() - start) / calls
