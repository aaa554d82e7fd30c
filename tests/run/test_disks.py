"""A run on a disk that is full or becomes read-only loses nothing."""

import subprocess
from dataclasses import replace

import pytest

from tests.run.runs import check_equal, finish, options, settings, write_images
from vae_fn.run.interrupts import Interrupted
from vae_fn.run.resume import resume
from vae_fn.run.train import train


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a size in KiB, if this machine lets us make one."""
    made = []

    def make(size):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this machine lets us mount nothing")
        made.append(disk)
        return disk

    yield make
    for disk in made:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_loses_nothing(tmp_path, small_disk):
    disk = small_disk(300)
    write_images(tmp_path)
    kept_long = {"epochs": 10, "keep_last": 50}
    reference = [*options(tmp_path, **kept_long), "--no-tensorboard"]
    args = [*options(tmp_path, runs_dir=disk, **kept_long), "--no-tensorboard"]
    assert finish("train", *reference)[0] == 0
    status, err = finish("train", *args)
    assert status == 2
    line = err.strip().splitlines()[-1]
    assert "No space left on device: mend that, then go on from step" in line
    assert "Traceback" not in err
    assert not list((disk / "small" / "checkpoints").glob(".*"))
    subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
    status, err = finish("train", "--resume", disk / "small")
    assert status == 0, err
    check_equal(disk / "small", tmp_path / "runs" / "small")


def test_a_folder_that_becomes_read_only_loses_nothing(tmp_path, small_disk, stop_at):
    disk = small_disk(20_000)
    config = settings(write_images(tmp_path), disk)
    stop_at(14)
    with pytest.raises(Interrupted):
        train(config, quiet=True)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for args in (["--resume", disk / "small"], [*options(tmp_path, runs_dir=disk, name="other")]):
        status, err = finish("train", *args)
        assert status == 2
        assert "Read-only file system" in err
        assert "Traceback" not in err
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    stop_at(None)
    resume(disk / "small", config, quiet=True)
    check_equal(disk / "small", train(replace(config, runs_dir=tmp_path / "whole"), quiet=True))
