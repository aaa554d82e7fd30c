"""A trainer that owns its loop, made to take so many steps and then wait."""

import queue
import threading
from collections.abc import Callable
from typing import Any


class Turnstile:
    """Runs a trainer in a thread of its own, which passes here after every step.

    All that computes belongs into this thread: OpenMP keeps a team for every thread that asks for one, and with more
    teams than processors it waits in another way, which alone changes the time of a step.
    """

    def __init__(self, train: Callable[[], None]):
        """`train()` runs on and on and calls `passed()` after each of its steps; it begins with the first `run`."""
        self._train, self._left = train, 0
        self._jobs: queue.SimpleQueue[int | Callable[[], Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._main, daemon=True).start()

    def run(self, steps: int) -> None:
        """Let it take so many steps and wait until they are done."""
        self._ask(steps)

    def call(self, fn: Callable[[], Any]) -> Any:
        """What `fn()` gives in the trainer's thread, between two steps."""
        return self._ask(fn)

    def passed(self) -> None:
        """A step is done: go on, or wait for the next `run`."""
        self._left -= 1
        if self._left == 0:
            self._answers.put(None)
            self._wait()

    def _ask(self, job: int | Callable[[], Any]) -> Any:
        self._jobs.put(job)
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _wait(self) -> None:
        while not self._left:
            job = self._jobs.get()
            if isinstance(job, int):
                self._left = job
            else:
                self._answers.put(job())

    def _main(self) -> None:
        try:
            self._wait()
            self._train()
            self._answers.put(RuntimeError("the trainer ended by itself"))
        except BaseException as error:
            self._answers.put(error)
