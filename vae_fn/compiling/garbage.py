"""Python's search for garbage, which rests while a program is compiled."""

import gc
from functools import cache
from typing import Any


@cache
def rest_while_compiling() -> None:
    """Search for garbage after a program is compiled and not meanwhile, in this process from now on.

    Tracing makes a million objects, nearly all of which stay until its end, and Python would look at them again and
    again. Where torch does not tell when it compiles, nothing changes.
    """
    try:
        from torch._dynamo.callback import callback_handler
    except ImportError:
        return
    searching: list[bool] = []

    def begin(*_: Any) -> None:
        searching.append(gc.isenabled())
        gc.disable()

    def end(*_: Any) -> None:
        if searching.pop():
            gc.enable()

    callback_handler.register_start_callback(begin)
    callback_handler.register_end_callback(end)
