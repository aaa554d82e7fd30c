"""The side of the driver: programs as processes, all idle while one of them runs."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from others import Others

HERE = Path(__file__).parent


class Row(NamedTuple):
    """A row of the comparison: a program, and how it is asked for.

    Attributes:
        name: in the table.
        framework: as people know it.
        precision: of the products of the trunk, `float32` or `bfloat16`.
        file: the program, in this folder unless the path is absolute.
        options: what the program's `build` is given.
    """

    name: str
    framework: str
    precision: str
    file: str
    options: dict[str, Any]


class Missing(Exception):
    """A row whose package is not installed."""


class Failed(Exception):
    """A program that ended or reported an error."""


class Peer:
    """A running program.

    Attributes:
        row: what it is.
        pid: of its process.
        ready: what it said when it was ready: `first_step_s`, `losses`, `chunk`.
    """

    def __init__(self, row: Row, folder: Path, environment: dict[str, str]):
        """Start it and wait until it is ready.

        Raises:
            Missing: a package that it needs is not installed.
            Failed: it did not come so far.
        """
        self.row = row
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        command = [sys.executable, str(HERE / row.file), str(folder), json.dumps(row.options)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )
        self.pid = self._process.pid
        try:
            self.ready = self._answer()
        except BaseException:
            self.kill()
            raise

    def window(self, steps: int) -> float:
        """Seconds that it takes for so many steps."""
        return self._ask(f"window {steps}")["seconds"]

    def quit(self) -> dict[str, float]:
        """End it; its peak memory in MB."""
        return self._ask("quit")

    def kill(self) -> None:
        """End it whatever it does; one that has ended is left alone."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.row.name} has ended: {self._tail()}") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended without a word"}
        if "missing" in answer:
            raise Missing(answer["missing"])
        if "error" in answer:
            raise Failed(f"{self.row.name}: {answer['error']}\n{self._tail()}")
        return answer

    def _tail(self, lines: int = 15) -> str:
        self._log.seek(0)
        return "".join(self._log.readlines()[-lines:])


@contextmanager
def started(rows: Sequence[Row], folder: Path, environment: dict[str, str]) -> Iterator[tuple[list[Peer], list[dict]]]:
    """The programs of the rows, started one after the other, and the rows that were left out for want of a package."""
    peers, left_out = [], []
    with ExitStack() as stack:
        for row in rows:
            print(f"starting {row.name}", file=sys.stderr, flush=True)
            try:
                peer = Peer(row, folder, environment)
            except Missing as missing:
                left_out.append({"name": row.name, "missing": str(missing)})
                print(f"left out: {row.name}: {how_to_install(str(missing))}", file=sys.stderr)
                continue
            stack.callback(peer.kill)
            peers.append(peer)
        yield peers, left_out


def how_to_install(package: str) -> str:
    """What to do about a package that is not there."""
    return f"{package} is not installed: pip install 'vae-fn[peers]'"


def alternate(peers: Sequence[Peer], windows: int, steps: int) -> tuple[dict[str, list[float]], float]:
    """Milliseconds a step of every program in every window, and the share of the processors that others took meanwhile.

    Each round begins with another program.
    """
    others = Others([peer.pid for peer in peers])
    times: dict[str, list[float]] = {peer.row.name: [] for peer in peers}
    for number in range(windows):
        first = number % len(peers)
        for peer in (*peers[first:], *peers[:first]):
            times[peer.row.name].append(peer.window(steps) / steps * 1e3)
    return times, others.share()


def with_threads(threads: int, cache: Path | None) -> dict[str, str]:
    """The environment of all programs: so many threads, and a cache folder for compiled code (None: the user's).

    Threads that OpenMP does not make, such as XLA's, are as many as there are processors: these are restricted here,
    for this process and all that it starts.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PJRT_NPROC")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return environment | ({"TORCHINDUCTOR_CACHE_DIR": str(cache)} if cache else {})
