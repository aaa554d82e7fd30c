"""A run's folder appears whole and goes whole, whatever fails and whoever else is there."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.run.test_folder import fail, make_run
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.folder import RunError, create_run, hold, read_config

FILES = {"config.toml": to_toml(TrainConfig()), "environment.json": "{}\n"}


def contents(folder):
    """What lies under a folder: the bytes of files, None for folders."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check_exclusive(create, runs_dir):
    """Of many calls at once with one name, exactly one makes the folder."""

    def attempt(_):
        try:
            return create(runs_dir, "run", FILES)
        except RunError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [path for path in pool.map(attempt, range(16)) if path is not None]
    assert made == [runs_dir / "run"]


def test_two_runs_never_share_a_folder(tmp_path):
    check_exclusive(create_run, tmp_path / "runs")


def test_check_exclusive_rejects_a_shared_folder(tmp_path):
    def shared(runs_dir, name, files):
        (runs_dir / name).mkdir(parents=True, exist_ok=True)
        return runs_dir / name

    with pytest.raises(AssertionError):
        check_exclusive(shared, tmp_path)


def test_an_existing_run_is_kept_without_overwrite(tmp_path):
    run = make_run(tmp_path / "mine")
    with pytest.raises(RunError) as fault:
        create_run(tmp_path, "mine", FILES)
    assert str(fault.value) == (
        f"{run} exists: go on with it by --resume {run}, choose another --name, or --overwrite to delete it first"
    )
    assert (run / "config.toml").exists()
    assert list(tmp_path.iterdir()) == [run]


def test_overwrite_deletes_a_run(tmp_path):
    run = make_run(tmp_path / "mine")
    (run / "figures").mkdir()
    assert create_run(tmp_path, "mine", FILES, overwrite=True) == run
    assert {file.name: file.read_text() for file in run.iterdir()} == FILES
    assert list(tmp_path.iterdir()) == [run]


def test_overwrite_makes_what_does_not_exist(tmp_path):
    assert read_config(create_run(tmp_path / "a" / "b", "mine", FILES, overwrite=True)) == TrainConfig()


def test_overwrite_deletes_nothing_but_runs(tmp_path):
    (tmp_path / "website").mkdir()
    (tmp_path / "website" / "config.toml").write_text('title = "mine"')
    (tmp_path / "photos").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(make_run(tmp_path / "run"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    for name in ("website", "photos", "file"):
        with pytest.raises(RunError, match="is not a run of this version: delete it by hand"):
            create_run(tmp_path, name, FILES, overwrite=True)
    for name in ("link", "dangling"):
        with pytest.raises(RunError, match="is a symbolic link, and what it leads to is not deleted: delete it"):
            create_run(tmp_path, name, FILES, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", ".", ""])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_cannot_leave_the_folder(tmp_path, name, overwrite):
    with pytest.raises(ConfigError, match="cannot name a run"):
        create_run(tmp_path / "runs", name, FILES, overwrite)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file, not a folder for runs: use another --runs-dir"):
        create_run(tmp_path / "file", "x", FILES)
    with pytest.raises(RunError, match="Not a directory: use another --runs-dir"):
        create_run(tmp_path / "file" / "runs", "x", FILES)


def old_run(runs_dir):
    run = make_run(runs_dir / "mine", TrainConfig(key=3))
    (run / "checkpoints").mkdir()


def in_place(runs_dir, name, files, overwrite=False):
    """The mutant that makes a folder under its own name, and deletes what is there first."""
    if overwrite:
        shutil.rmtree(runs_dir / name)
    (runs_dir / name).mkdir()
    for file, content in files.items():
        with (runs_dir / name / file).open("w") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
    return (runs_dir / name).rename(runs_dir / name)


def check_failure_changes_nothing(create, runs_dir, monkeypatch, where, overwrite):
    before = contents(runs_dir)
    with monkeypatch.context() as patch:
        patch.setattr(*where, fail)
        with pytest.raises((RunError, OSError), match="No space left on device"):
            create(runs_dir, "mine", FILES, overwrite)
    assert contents(runs_dir) == before


@pytest.mark.parametrize("where", [(os, "fsync"), (os, "replace"), (Path, "mkdir"), (Path, "rename")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_cannot_be_finished_leaves_all_as_it_was(tmp_path, monkeypatch, where, overwrite):
    if overwrite:
        old_run(tmp_path)
    check_failure_changes_nothing(create_run, tmp_path, monkeypatch, where, overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_making_in_place_would_leave_half_a_run(tmp_path, monkeypatch, overwrite):
    if overwrite:
        old_run(tmp_path)
    with pytest.raises(AssertionError):
        check_failure_changes_nothing(in_place, tmp_path, monkeypatch, (os, "fsync"), overwrite)


COUNTED = """
def counted(original):
    def call(*args, **settings):
        global calls
        calls -= 1
        if calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **settings)

    return call

calls = int(sys.argv[2])
for name in ("fsync", "replace", "mkdir", "rename", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
"""


def killed(create, runs_dir, calls):
    """Overwrite a run, in a process that is killed after so many changes of the file system; whether it was."""
    code = [
        "import os, shutil, signal, sys\nfrom pathlib import Path\nfrom vae_fn.run.folder import create_run",
        inspect.getsource(in_place),
        COUNTED,
        f"{create.__name__}(Path(sys.argv[1]), 'mine', {FILES!r}, overwrite=True)",
    ]
    status = subprocess.run([sys.executable, "-c", "\n".join(code), runs_dir, str(calls)]).returncode
    assert status in (0, -signal.SIGKILL)
    return status != 0


def check_whole(runs_dir):
    """Under its name there is the old run, the new one or none, and another can be made there."""
    old, run = {"config.toml", "checkpoints"}, runs_dir / "mine"
    assert not run.exists() or {path.name for path in run.iterdir()} in (old, set(FILES))
    create_run(runs_dir, "mine", FILES, overwrite=True)
    assert {path.name for path in run.iterdir()} == set(FILES)


def test_a_kill_at_any_moment_leaves_no_half_of_a_run(tmp_path):
    calls = 0
    while True:
        runs_dir = tmp_path / str(calls)
        old_run(runs_dir)
        alive = not killed(create_run, runs_dir, calls)
        check_whole(runs_dir)
        if alive:
            break
        calls += 1
    assert calls > 6


def test_check_whole_rejects_making_in_place(tmp_path):
    old_run(tmp_path)
    assert killed(in_place, tmp_path, 4)
    with pytest.raises(AssertionError):
        check_whole(tmp_path)


def test_overwrite_keeps_a_run_that_is_being_written(tmp_path):
    run = make_run(tmp_path / "mine")
    before = contents(tmp_path)
    with hold(run), pytest.raises(RunError) as fault:
        create_run(tmp_path, "mine", FILES, overwrite=True)
    assert str(fault.value) == f"{run} is being written by another process: wait for it or stop it first"
    assert contents(tmp_path) == before
    create_run(tmp_path, "mine", FILES, overwrite=True)


def test_a_hold_ends_with_its_process(tmp_path):
    run = make_run(tmp_path / "mine")
    code = "import sys\nfrom vae_fn.run.folder import hold\nwith hold(sys.argv[1]): print(flush=True), input()"
    command = [sys.executable, "-c", code, run]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(RunError, match="another process"), hold(run):
            pass
        process.kill()
        process.wait()
    with hold(run):
        pass


def test_a_hold_speaks_of_itself_alone(tmp_path):
    with pytest.raises(BlockingIOError, match="of the body"), hold(make_run(tmp_path / "mine")):
        raise BlockingIOError("of the body")


def test_an_empty_folder_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunError, match="exists"):
        create_run(tmp_path, "mine", FILES)
    assert contents(tmp_path) == {tmp_path / "mine": None}
