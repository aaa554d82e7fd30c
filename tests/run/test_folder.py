import errno
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn.run import folder
from vae_fn.run.config import ConfigError, TrainConfig, to_toml
from vae_fn.run.folder import (
    RunError,
    create_run,
    environment,
    open_run,
    read_config,
    write_atomic,
)


def make_run(path, config=None):
    path.mkdir(parents=True)
    (path / "config.toml").write_text(to_toml(config or TrainConfig()))
    return path


def fail(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def check_atomic(write, path, monkeypatch, fault):
    """A write that fails leaves the old file, and nothing else."""
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, fault, fail)
        with pytest.raises(OSError, match="No space left"):
            write(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault", ["replace", "fsync"])
def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch, fault):
    check_atomic(write_atomic, tmp_path / "file", monkeypatch, fault)


def test_check_atomic_rejects_writing_in_place(tmp_path, monkeypatch):
    def in_place(path, data):
        with path.open("w") as file:
            file.write(data)
            os.fsync(file.fileno())

    with pytest.raises(AssertionError):
        check_atomic(in_place, tmp_path / "file", monkeypatch, "fsync")


def test_check_atomic_rejects_a_temporary_file_left_behind(tmp_path, monkeypatch):
    def untidy(path, data):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(data)
        os.replace(temporary, path)

    with pytest.raises(AssertionError):
        check_atomic(untidy, tmp_path / "file", monkeypatch, "replace")


@given(st.binary() | st.text(st.characters(codec="utf-8")))
def test_write_atomic_writes_every_byte(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("write") / "file"
    write_atomic(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)


def test_write_atomic_follows_links_and_keeps_to_the_umask(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomic(tmp_path / "link", b"new")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("path", [Path("/dev/null"), Path(__file__).parent])
def test_write_atomic_replaces_only_regular_files(path):
    with pytest.raises(RunError, match="is not a regular file"):
        write_atomic(path, b"")


def check_exclusive(create, runs_dir):
    """Of many calls at once with one name, exactly one makes the folder."""

    def attempt(_):
        try:
            return create(runs_dir, "run", False)
        except RunError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [path for path in pool.map(attempt, range(16)) if path is not None]
    assert made == [runs_dir / "run"]


def test_two_runs_never_share_a_folder(tmp_path):
    check_exclusive(create_run, tmp_path / "runs")


def test_check_exclusive_rejects_a_shared_folder(tmp_path):
    def shared(runs_dir, name, overwrite):
        (runs_dir / name).mkdir(parents=True, exist_ok=True)
        return runs_dir / name

    with pytest.raises(AssertionError):
        check_exclusive(shared, tmp_path)


def test_an_existing_run_is_kept_without_overwrite(tmp_path):
    run = make_run(tmp_path / "mine")
    with pytest.raises(RunError, match="exists: choose another --name, or --overwrite"):
        create_run(tmp_path, "mine")
    assert (run / "config.toml").exists()


def test_overwrite_deletes_a_run(tmp_path):
    run = make_run(tmp_path / "mine")
    (run / "figures").mkdir()
    assert create_run(tmp_path, "mine", overwrite=True) == run
    assert list(run.iterdir()) == []


def test_overwrite_makes_what_does_not_exist(tmp_path):
    assert create_run(tmp_path / "a" / "b", "mine", overwrite=True).is_dir()


def test_overwrite_deletes_nothing_but_runs(tmp_path):
    (tmp_path / "website").mkdir()
    (tmp_path / "website" / "config.toml").write_text('title = "mine"')
    (tmp_path / "photos").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(make_run(tmp_path / "run"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    for name in ("website", "photos", "file", "link", "dangling"):
        with pytest.raises(RunError, match="is not a run of this version: delete it by hand"):
            create_run(tmp_path, name, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", ".", ""])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_cannot_leave_the_folder(tmp_path, name, overwrite):
    with pytest.raises(ConfigError, match="cannot name a run"):
        create_run(tmp_path / "runs", name, overwrite)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file, not a folder for runs: use another --runs-dir"):
        create_run(tmp_path / "file", "x")
    with pytest.raises(RunError, match="Not a directory: use another --runs-dir"):
        create_run(tmp_path / "file" / "runs", "x")


def test_open_run(tmp_path):
    run = make_run(tmp_path / "runs" / "tutorial-0")
    make_run(tmp_path / "runs" / "other")
    assert open_run(run) == run
    for wrong in (tmp_path / "runs" / "tutorial-1", tmp_path / "tutorial-0"):
        with pytest.raises(RunError) as fault:
            open_run(wrong)
        assert str(fault.value) == f"{wrong} does not exist. Did you mean {run}?"
    with pytest.raises(RunError, match=r"has no config\.toml, so it is not a run\. Give a run's folder\."):
        open_run(tmp_path)


def test_read_config(tmp_path):
    config = TrainConfig(key=3)
    run = make_run(tmp_path / "a", config)
    assert read_config(run) == config
    (run / "config.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"a/config\.toml: "):
        read_config(run)


def test_environment():
    described = environment(device="cpu", generator="philox")
    assert list(described) == [
        *("python", "vae_fn", "torch", "numpy", "platform", "processor"),
        *("device", "threads", "generator", "git", "command"),
    ]
    assert described["torch"] == torch.__version__
    assert described["generator"] == "philox"
    assert described["threads"] == torch.get_num_threads()
    json.dumps(described, allow_nan=False)


def test_commit_of_a_checkout(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)

    def git(*args):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", tmp_path, *identity, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("")
    assert folder._checkout(package) is None
    git("init")
    assert folder._checkout(package) is None
    git("add", ".")
    git("commit", "-m", "a")
    assert folder._checkout(package) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "b.py").write_text("")
    assert folder._checkout(package) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "site-packages").mkdir()
    assert folder._checkout(tmp_path / "site-packages") is None
