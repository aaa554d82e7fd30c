"""Whether others were at work on the machine while programs were timed."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

BUSY = 0.1
"""The share of the processors beyond which others were at work."""

PROC = Path("/proc")

WAITING = (3, 4)
"""Of the columns of `stat` those that are no work: idle, and waiting for a disk."""


class Others:
    """A clock of the time that others take of the processors that this process may use, from here on.

    The host of a virtual machine is another. Unlike the load average it leaves out what the timed programs take.
    """

    def __init__(self, pids: Sequence[int]):
        """Start it; `pids` are the processes that are timed."""
        self._pids, self._names = [os.getpid(), *pids], {f"cpu{number}" for number in os.sched_getaffinity(0)}
        self._start = self._ticks(), time.monotonic()

    def share(self) -> float:
        """Their time since the start, over that of all these processors; by the grain of clocks a little below 0."""
        ticks, seconds = self._ticks() - self._start[0], time.monotonic() - self._start[1]
        return ticks / os.sysconf("SC_CLK_TCK") / seconds / len(self._names)

    def _ticks(self) -> int:
        lines = [line.split() for line in (PROC / "stat").read_text().splitlines()]
        columns = [ticks for name, *rest in lines if name in self._names for ticks in enumerate(rest[:8])]
        return sum(int(ticks) for column, ticks in columns if column not in WAITING) - sum(map(_own, self._pids))


def _own(pid: int) -> int:
    """Ticks of a process and of its children that have ended, in their own code and in the system's."""
    after_name = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15]))
