import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.folder import RunError, open_run, read_config, run_of, write_atomic


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


def test_open_run(tmp_path):
    run = make_run(tmp_path / "runs" / "tutorial-0")
    make_run(tmp_path / "runs" / "other")
    make_run(tmp_path / "runs" / ".tutorial-1.0123")  # what a killed process may leave
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


def test_run_of(tmp_path):
    run = make_run(tmp_path / "a")
    assert run_of(run) == run
    assert run_of(run / "checkpoints" / "step-000000001.safetensors") == run
    for wrong in (run / "checkpoints", run / "a.safetensors", tmp_path / "checkpoints" / "b.safetensors"):
        with pytest.raises(RunError):
            run_of(wrong)
