"""One run, one writer: what is swept away, what is left, and what a second process is told."""

import os

import pytest

from tests.run.runs import settings, write_images
from vae_fn.run import sitting
from vae_fn.run import train as module
from vae_fn.run.folder import RunError, hold, sweep
from vae_fn.run.train import train


def test_a_folder_that_was_replaced_while_it_was_opened_is_not_held(tmp_path, monkeypatch):
    run, aside = tmp_path / "run", tmp_path / "aside"
    run.mkdir()
    original = os.open

    def replaced(path, *args, **rest):
        opened = original(path, *args, **rest)
        run.rename(aside)
        run.mkdir()
        return opened

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(RunError, match="was replaced by another process meanwhile"), hold(run):
        pytest.fail("held a folder that is gone")


def test_a_run_whose_name_another_took_is_not_trained_there(tmp_path, monkeypatch):
    config = settings(write_images(tmp_path), tmp_path / "runs")
    original = module.create_run

    def overtaken(*args):
        run = original(*args)
        (run / "config.toml").write_text("key = 1\n")
        return run

    monkeypatch.setattr(module, "create_run", overtaken)
    with pytest.raises(RunError, match="was replaced by another process meanwhile: choose another --name"):
        train(config, quiet=True)
    assert not (tmp_path / "runs" / "small" / "metrics.jsonl").exists()


def test_overwriting_never_deletes_the_images(tmp_path):
    images = write_images(tmp_path)
    run = train(settings(images, tmp_path / "runs", epochs=1), quiet=True)
    inside = run / "images.npy"
    images.rename(inside)
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    for place in ("runs", "link"):
        for data in (inside, tmp_path / "link" / "small" / "images.npy"):
            with pytest.raises(RunError, match="lies in the run that --overwrite deletes"):
                train(settings(data, tmp_path / place, epochs=1), overwrite=True, quiet=True)
    assert inside.exists()


def test_only_what_a_killed_process_left_is_swept_away(tmp_path):
    left = [tmp_path / f".{'0' * 32}.tmp", tmp_path / "checkpoints" / f".{'f' * 32}.tmp"]
    mine = [tmp_path / ".mine.tmp", tmp_path / "figures" / f".{'0' * 32}.tmp", tmp_path / f"{'0' * 32}.tmp"]
    for path in left + mine:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / f".{'1' * 32}.tmp").mkdir()
    sweep(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in mine)


def test_a_compiler_that_fails_is_one_line_and_the_run_can_go_on(tmp_path, monkeypatch):
    class InductorError(RuntimeError):
        pass

    def fail(*args, **rest):
        raise InductorError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(sitting, "fit", fail)
    with pytest.raises(
        RunError, match=r"cannot be compiled \(No working C\+\+ compiler found\); go on .* --no-compile$"
    ):
        train(settings(write_images(tmp_path), tmp_path / "runs"), quiet=True)
