"""Steady state: programs in alternating windows in one process, and what is said of the times."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from vae_fn.bench.subject import clone
from vae_fn.bench.variants import Advance
from vae_fn.types import Tree

Clock = Callable[[], float]
"""Seconds since some moment."""


class Spread(NamedTuple):
    """The least of some numbers, and their quartiles."""

    min: float
    q1: float
    median: float
    q3: float


def spread(values: Sequence[float]) -> Spread:
    """The least and the quartiles, interpolated between the two nearest values."""
    if len(values) == 1:
        return Spread(*(4 * tuple(values)))
    return Spread(min(values), *statistics.quantiles(values, n=4, method="inclusive"))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Window by window: what slows both in one window slows neither against the other."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


class Runner(NamedTuple):
    """A program that is ready: it has been called, so nothing is compiled any more.

    Attributes:
        advance: the program.
        state: where every window starts.
    """

    advance: Advance
    state: Tree

    def milliseconds(self, steps: int, clock: Clock) -> float:
        """Of a step, the mean over one window; the copy of the state that a program may consume is not in it."""
        state = clone(self.state)
        synchronize()
        start = clock()
        self.advance(state, steps)
        synchronize()
        return 1e3 * (clock() - start) / steps


def interleaved(
    runners: Mapping[str, Runner],
    windows: int,
    steps: Mapping[str, int],
    *,
    clock: Clock = time.perf_counter,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, list[float]]:
    """Milliseconds of a step in every window, by program.

    Each round gives every program one window, and the next round begins with another of them: drift of the machine
    meets all alike.

    Args:
        runners: the programs by name.
        windows: of each.
        steps: of a window, by program.
        clock: in seconds.
        progress: hears of each window that is done.
    """
    names, times = list(runners), {name: [] for name in runners}
    for i in range(windows):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            times[name].append(runners[name].milliseconds(steps[name], clock))
            progress(name)
    return times


def steps_of_window(runner: Runner, seconds: float, clock: Clock = time.perf_counter) -> int:
    """Steps that take a program about so many seconds, from two tries of which the first warms it up."""
    runner.milliseconds(2, clock)
    return max(2, round(1e3 * seconds / max(runner.milliseconds(4, clock), 1e-6)))


def synchronize() -> None:
    """Wait for what a GPU still computes."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
