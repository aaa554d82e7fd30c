"""Ctrl-C and SIGTERM, served between steps: the run saves itself before it ends."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A run was stopped by a signal, and is saved.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


class Interrupts:
    """While this context is open, the first signal is only noted; the second acts as it did before.

    Attributes:
        received: the signal noted, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> "Interrupts":
        self._before: dict[int, Any] = {int(number): signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._before[number])
        print("\nstopping after this step, to save the run; once more stops at once", file=sys.stderr)
