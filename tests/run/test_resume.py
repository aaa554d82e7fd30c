"""Going on with a run: what must be the same, what may differ, and what is said."""

import math
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.run.runs import check_equal, finish, rows, settings, tensors, write_images
from vae_fn.run import recorder as recorder_module
from vae_fn.run import resume as module
from vae_fn.run.checkpoints import BEST, checkpoints, read_record
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.folder import RunError, hold, read_config, write_atomic
from vae_fn.run.interrupts import Interrupted
from vae_fn.run.resume import check_settings, resume
from vae_fn.run.train import train

pytestmark = pytest.mark.usefixtures("same_checkout")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def stopped(images, tmp_path, stop_at):
    """A run that was stopped after the row of step 14, of 40, and its settings."""
    config = settings(images, tmp_path / "stopped")
    stop_at(14)
    with pytest.raises(Interrupted) as stop:
        train(config, quiet=True)
    assert stop.value.signal == signal.SIGTERM
    stop_at(None)
    return tmp_path / "stopped" / "small", config


def test_a_name_that_was_not_given_is_no_none(tmp_path):
    with pytest.raises(ConfigError, match=r"--name is not given in .* and mine here: a resumed run keeps its settings"):
        check_settings(tmp_path, TrainConfig(), TrainConfig(name="mine"))


ALGORITHMS = {
    "pathwise": {},
    "dynamic, weighted, sgd": {"binarise": "dynamic", "estimator": "dreg", "samples": 2, "optimizer": "sgd"},
    "schedules": {"schedule": "warmup-cosine", "warmup_steps": 5, "kl_warmup": 30},
    "skipping": {"skip_nonfinite": True},
    "fixed": {"binarise": "fixed", "latents": 3},
    "bits in two layers": {"latent_family": "bernoulli-2", "latents": 3, "estimator": "rloo", "samples": 2},
    "classes": {
        "latent_family": "categorical",
        "classes": 3,
        "estimator": "vimco",
        "samples": 2,
        "binarise": "dynamic",
    },
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(images, tmp_path, stop_at, algorithm):
    whole = train(settings(images, tmp_path / "whole", **ALGORITHMS[algorithm]), quiet=True)
    config = settings(images, tmp_path / "resumed", **ALGORITHMS[algorithm])
    stop_at(14)
    with pytest.raises(Interrupted, match="stopped at step 15 of 40, saved in"):
        train(config, quiet=True)
    assert resume(tmp_path / "resumed" / "small", config, exact=True, quiet=True) == tmp_path / "resumed" / "small"
    check_equal(tmp_path / "resumed" / "small", whole)


def test_a_compiled_run_resumes_to_the_bit(images, tmp_path, stop_at, fresh_compiler):
    whole = train(settings(images, tmp_path / "whole", compile=True), quiet=True)
    config = settings(images, tmp_path / "resumed", compile=True)
    stop_at(14)
    with pytest.raises(Interrupted):
        train(config, quiet=True)
    torch.compiler.reset()
    resume(tmp_path / "resumed" / "small", config, exact=True, quiet=True)
    check_equal(tmp_path / "resumed" / "small", whole)


def test_an_older_checkpoint_between_two_rows_goes_on_to_the_same_end(images, tmp_path):
    config = settings(images, tmp_path / "again")
    whole, run = train(replace(config, runs_dir=tmp_path / "whole"), quiet=True), train(config, quiet=True)
    middle = next(path for path in checkpoints(run) if read_record(path).step == 36)
    (run / "summary.json").unlink()
    resume(middle, config, quiet=True)
    check_equal(run, whole)


def test_more_epochs_go_on_as_if_they_had_been_asked_for_at_first(images, tmp_path):
    whole = train(settings(images, tmp_path / "whole", epochs=4), quiet=True)
    run = train(settings(images, tmp_path / "longer"), quiet=True)
    config = read_config(run)
    with pytest.raises(RunError, match="is finished: see it with"):
        resume(run, config)
    resume(run, replace(config, epochs=4), quiet=True)
    assert read_config(run).epochs == 4
    check_equal(run, whole)


def test_a_changed_setting_is_refused_and_nothing_is_changed(stopped):
    run, config = stopped
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    changes = {"beta": 2.0, "batch_size": 8, "learning_rate": 1.0, "key": 1, "log_every": 5, "epochs": 1, "hidden": 16}
    for name, value in changes.items():
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} is .* a resumed run keeps its settings"):
            resume(run, replace(config, **{name: value}))
    with pytest.raises(ConfigError, match="--epochs is 2"):
        resume(run, replace(config, epochs=3, schedule="warmup-cosine"))
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_settings_edited_in_the_folder_are_compared_with_the_checkpoints(stopped):
    run, config = stopped
    write_atomic(run / "config.toml", to_toml(replace(config, learning_rate=0.1)))
    with pytest.raises(ConfigError, match=r"--learning-rate is 0.001 in .* and 0.1 here"):
        resume(run, read_config(run), exact=True)


def test_going_back_and_being_stopped_again_loses_nothing(images, tmp_path, stop_at):
    config = settings(images, tmp_path / "back", keep_last=9)
    whole, run = train(replace(config, runs_dir=tmp_path / "whole"), quiet=True), train(config, quiet=True)
    early = next(path for path in checkpoints(run) if read_record(path).step == 9)
    (run / "summary.json").unlink()
    stop_at(28)
    with pytest.raises(Interrupted, match="stopped at step 29 of 40, saved in"):
        resume(early, replace(config, keep_last=1), quiet=True)
    stop_at(None)
    assert [read_record(path).step for path in checkpoints(run)] == [29]
    resume(run, replace(config, keep_last=9), quiet=True)
    assert rows(run) == rows(whole)
    for name, leaf in tensors(whole)["step-000000040.safetensors"].items():
        assert torch.equal(tensors(run)["step-000000040.safetensors"][name], leaf)


def test_a_validation_elbo_that_is_not_finite_is_never_the_best(images, tmp_path, monkeypatch):
    original, seen = recorder_module.evaluate_elbo, []

    def lost_at_first(*args, **rest):
        seen.append(1)
        return original(*args, **rest)._replace(**({"elbo": math.nan} if len(seen) == 1 else {}))

    monkeypatch.setattr(recorder_module, "evaluate_elbo", lost_at_first)
    run = train(settings(images, tmp_path), quiet=True)
    assert read_record(run / "checkpoints" / BEST).step == 40


def test_a_moved_data_set_is_the_same_data_set(stopped, tmp_path):
    run, config = stopped
    elsewhere = shutil.copy(config.data, tmp_path / "elsewhere.npy")
    resume(run, replace(config, data=str(elsewhere)), exact=True, quiet=True)
    assert read_config(run).data == str(elsewhere)


def test_what_changes_no_number_may_change(stopped):
    run, config = stopped
    resume(run, replace(config, checkpoint_every=0, keep_last=1, tensorboard=True), exact=True, quiet=True)
    assert len(checkpoints(run)) == 1
    assert read_config(run).keep_last == 1


@pytest.mark.parametrize("changed", ["threads", "torch", "device", "git", "compile"])
def test_another_environment_is_one_line_or_with_exact_an_error(stopped, monkeypatch, capsys, changed):
    run, config = stopped
    original = module.beginning

    def elsewhere(parts):
        record = original(parts)
        return record._replace(environment=record.environment | {changed: "another"})

    monkeypatch.setattr(module, "beginning", elsewhere)
    with pytest.raises(RunError, match=f"not exact: {changed} was .* and is another: restore that"):
        resume(run, config, exact=True)
    resume(run, config, quiet=True)
    printed = capsys.readouterr().err
    assert printed.startswith(f"resumed, but perhaps not to the bit: {changed} was")
    assert printed.count("\n") == 1


def test_the_same_environment_is_no_word(stopped, capsys):
    run, config = stopped
    resume(run, config, quiet=True)
    assert capsys.readouterr().err == ""


def test_another_generator_is_refused(stopped, monkeypatch):
    run, config = stopped
    monkeypatch.setattr(module.random, "GENERATOR", "dice")
    with pytest.raises(RunError, match=r"drew its random numbers with .* here there is dice: resume it with torch"):
        resume(run, config)


def test_other_images_are_refused(stopped, tmp_path):
    run, config = stopped
    others = np.load(config.data)
    others[:, 0, 0] ^= 1
    np.save(tmp_path / "others.npy", others)
    write_atomic(run / "config.toml", to_toml(replace(config, data=str(tmp_path / "others.npy"))))
    with pytest.raises(RunError, match="the images are not those that"):
        resume(run, read_config(run))


def test_a_damaged_checkpoint_is_refused_and_the_offered_one_goes_on(images, stopped, tmp_path):
    run, config = stopped
    newest, older = checkpoints(run)[:2]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(RunError, match=f"go on from the one before it with --resume {older}"):
        resume(run, config)
    assert resume(older, config, quiet=True) == run
    check_equal(run, train(settings(images, tmp_path / "whole"), quiet=True))


def test_lost_rows_are_refused(stopped):
    run, config = stopped
    metrics = run / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RunError, match="has 1 row, but 2 were written: restore the file"):
        resume(run, config)


def test_a_run_that_another_process_writes_is_left_alone(stopped):
    run, _ = stopped
    with hold(run):
        status, err = finish("train", "--resume", run)
    assert status == 2
    assert f"{run} is being written by another process" in err
    assert len(rows(run)) == 2


def test_a_run_without_a_checkpoint_begins_again(images, tmp_path, stopped):
    run, config = stopped
    for path in checkpoints(run):
        path.unlink()
    resume(run, config, quiet=True)
    check_equal(run, train(settings(images, tmp_path / "whole"), quiet=True))
