"""Whether others were at work on the machine while programs were timed."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

BUSY = 0.1
"""The share of the machine's processors beyond which others were at work."""

WAITING = (3, 4)
"""Of the columns of `/proc/stat` those that are no work: idle, and waiting for a disk."""


class Others:
    """A clock of the processor time that others take, the host of a virtual machine included, from here on.

    Unlike the load average it leaves out what the timed programs take themselves.
    """

    def __init__(self, pids: Sequence[int]):
        """Start it; `pids` are the processes that are timed."""
        self._pids = [os.getpid(), *pids]
        self._start = self._ticks(), time.monotonic()

    def share(self) -> float:
        """Their processor time since the start, over the time of all processors."""
        ticks, seconds = self._ticks() - self._start[0], time.monotonic() - self._start[1]
        return max(0.0, ticks / os.sysconf("SC_CLK_TCK") / seconds / os.cpu_count())

    def _ticks(self) -> int:
        columns = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        work = sum(int(ticks) for column, ticks in enumerate(columns) if column not in WAITING)
        return work - sum(map(_own, self._pids))


def _own(pid: int) -> int:
    """Ticks of a process, in its own code and in the system's."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])
