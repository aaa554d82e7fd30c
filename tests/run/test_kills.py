"""A run that is killed at any moment and resumed ends with the bits of one that was not."""

import itertools
import os
import random
import signal
import time

import pytest

from tests.run.runs import check_equal, finish, options, rows, start, tensors, write_images

KILLS = 10


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    write_images(folder)
    status, err = finish("train", *options(folder))
    assert status == 0, err
    return folder / "runs" / "small"


def begin(folder):
    """The arguments that start a run on the reference's images, and its folder."""
    write_images(folder)
    return ["train", *options(folder)], folder / "runs" / "small"


def kill_at_random(process, run):
    """Kill a process when it has written some rows, and a random moment later; whether it was still alive."""
    chance = random.SystemRandom()
    wanted = len(metrics(run)) + chance.randrange(1, 9)
    while process.poll() is None and len(metrics(run)) < wanted:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.1))
    process.kill()
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == -signal.SIGKILL


def metrics(run):
    return rows(run) if (run / "metrics.jsonl").exists() else []


def test_killed_at_random_moments(tmp_path, reference):
    args, run = begin(tmp_path)
    kills, names = [], (f"small-{number}" for number in itertools.count(2))
    while len(kills) < KILLS:
        killed = kill_at_random(start(*args), run)
        if killed and not (run / "summary.json").exists():
            kills.append(metrics(run)[-1]["step"])
        else:  # it reached its end before it was killed often enough: another one takes the rest
            check_equal(run, reference)
            run = run.with_name(next(names))
        going_on = run.exists() and not (run / "summary.json").exists()
        args = ["train", "--resume", run] if going_on else ["train", *options(tmp_path, name=run.name)]
    print("killed after steps", kills)
    status, err = finish(*args)
    assert status == 0, err
    check_equal(run, reference)


KILL = "import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"

AT_A_CHECKPOINT = """
import os
def counted(original, before):
    def spied(source, target):
        global left
        left -= "step-" in str(target)
        if left == 0 and before: die()
        result = original(source, target)
        if left == 0: die()
        return result
    return spied
left = {count}
os.replace = counted(os.replace, {before})
"""

IN_A_FILE = """
from pathlib import Path
original, left = Path.open, {count}
class Half:
    def __init__(self, file): self.file = file
    def __enter__(self): self.file.__enter__(); return self
    def __exit__(self, *rest): return self.file.__exit__(*rest)
    def write(self, data):
        self.file.write(data[: len(data) // 2]); self.file.flush(); die()
def spied(self, mode="r", *args, **rest):
    global left
    file = original(self, mode, *args, **rest)
    left -= "checkpoints" in str(self) and mode == "xb"
    return Half(file) if left == 0 else file
Path.open = spied
"""

IN_A_ROW = """
from vae_fn.run.recorder import Recorder
original, left = Recorder._write, {count}
def spied(self, **values):
    global left
    left -= 1
    if left == 0: self._metrics.write('{{"step": 12, "ep'); self._metrics.flush(); die()
    original(self, **values)
Recorder._write = spied
"""

BEFORE_PRUNING = """
from pathlib import Path
original, left = Path.unlink, {count}
def spied(self, *args, **rest):
    global left
    left -= self.name.startswith("step-")
    if left == 0: die()
    return original(self, *args, **rest)
Path.unlink = spied
"""

MOMENTS = {
    "before the first checkpoint's name": AT_A_CHECKPOINT.format(count=1, before=True),
    "before a checkpoint's name": AT_A_CHECKPOINT.format(count=5, before=True),
    "after a checkpoint's name": AT_A_CHECKPOINT.format(count=6, before=False),
    "in a checkpoint": IN_A_FILE.format(count=4),
    "in a row": IN_A_ROW.format(count=9),
    "in the first row": IN_A_ROW.format(count=1),
    "before pruning": BEFORE_PRUNING.format(count=3),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_the_middle_of_a_write(tmp_path, reference, moment):
    args, run = begin(tmp_path)
    status, err = finish(*args, prelude=KILL + MOMENTS[moment])
    assert status == -signal.SIGKILL, err
    assert not (run / "summary.json").exists()
    status, err = finish("train", "--resume", run)
    assert status == 0, err
    check_equal(run, reference)


def test_killed_while_the_resumed_rows_are_rewritten(tmp_path, reference):
    args, run = begin(tmp_path)
    assert finish(*args, prelude=KILL + MOMENTS["in a row"])[0] == -signal.SIGKILL
    rewriting = """
import os
original = os.replace
def spied(source, target):
    if str(target).endswith("metrics.jsonl"): die()
    original(source, target)
os.replace = spied
"""
    assert finish("train", "--resume", run, prelude=KILL + rewriting)[0] == -signal.SIGKILL
    status, err = finish("train", "--resume", run)
    assert status == 0, err
    check_equal(run, reference)


def test_the_comparison_sees_a_row_that_stands_twice_and_one_bit(tmp_path, reference):
    args, run = begin(tmp_path)
    assert finish(*args)[0] == 0
    check_equal(run, reference)
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([*lines[:5], lines[4], *lines[5:]]))
    with pytest.raises(AssertionError):
        check_equal(run, reference)
    metrics.write_text("".join(lines))
    newest = max((run / "checkpoints").glob("step-*"))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    with pytest.raises(AssertionError):
        check_equal(run, reference)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_and_says_how_to_go_on(tmp_path, reference, number):
    args, run = begin(tmp_path)
    process = start(*args)
    while len(metrics(run)) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    saved = max(tensors(run))
    assert f"saved in {run / 'checkpoints' / saved}; go on with --resume {run}" in err
    assert "Traceback" not in err
    status, err = finish("train", "--resume", run)
    assert status == 0, err
    check_equal(run, reference)
