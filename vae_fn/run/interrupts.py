"""Ctrl-C, SIGTERM and a lost terminal, served between steps: the run saves itself before it ends."""

import signal
import sys
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A run was stopped by a signal, and is saved.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


class Interrupts:
    """While this context is open, the first signal of a kind is only noted; the second acts as it did before.

    A signal that the process was started to ignore stays ignored. Off the main thread, where Python serves no signals,
    the context does nothing.

    Attributes:
        received: the signal noted, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._announced = False

    def __enter__(self) -> "Interrupts":
        heeded = SIGNALS if threading.current_thread() is threading.main_thread() else ()
        before = {int(number): signal.getsignal(number) for number in heeded}
        self._before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether the run is to stop; says so once, which a handler cannot do safely."""
        if self.received is not None and not self._announced:
            self._announced = True
            print("\nstopping after the steps under way, to save the run; once more stops at once", file=sys.stderr)
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._before[number])
