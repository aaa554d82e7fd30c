"""Python's search for garbage, which rests while a program is compiled."""

import gc
from typing import Any

_searched: list[bool] = []


def rest_while_compiling() -> None:
    """Search for garbage after a program is compiled and not meanwhile, in this process from now on.

    Tracing makes a million objects, nearly all of which stay until its end, and Python would look at them again and
    again. Where torch does not tell when it compiles, nothing changes.
    """
    try:
        from torch._dynamo.callback import callback_handler
    except ImportError:
        return
    if _begin not in callback_handler.start_callbacks:  # which torch.compiler.reset empties
        callback_handler.register_start_callback(_begin)
        callback_handler.register_end_callback(_end)


def _begin(*_: Any) -> None:
    _searched.append(gc.isenabled())
    gc.disable()


def _end(*_: Any) -> None:
    if _searched.pop():
        gc.enable()
