"""Python's search for garbage, which rests while a program is compiled."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_searching: list[bool] = []


@contextmanager
def resting() -> Iterator[None]:
    """Search for garbage afterwards and not meanwhile, in this process.

    Tracing makes a million objects, nearly all of which stay until its end, and Python would look at them again and
    again.
    """
    with _lock:
        _searching.append(gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            if _searching.pop():  # the first to enter found it on, and the last to leave takes that entry
                gc.enable()
