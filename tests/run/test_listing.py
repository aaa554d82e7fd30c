import json
import math
import os
import subprocess
import sys

import pytest
from safetensors.torch import save

from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.folder import RunError, hold
from vae_fn.run.listing import list_run, list_runs

TERMS = {"elbo": -140.5, "reconstruction": -133.0, "kl": 7.5, "protocol": "grey"}


def make_run(folder, name="a", begun=0, **settings):
    run = folder / name
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").write_text(to_toml(TrainConfig(**settings)))
    (run / "environment.json").write_text("{}")
    os.utime(run / "environment.json", (begun, begun))
    return run


def write_checkpoint(run, step, epoch, seconds=1.5):
    record = {"step": step, "epoch": epoch, "seconds": seconds}
    metadata = {"vae_fn": json.dumps({"format": 1, "record": record})}
    path = run / "checkpoints" / f"step-{step:09d}.safetensors"
    path.write_bytes(save({}, metadata))
    return path


def write_summary(run, **changes):
    (run / "summary.json").write_text(json.dumps({"steps": 20, "seconds": 2.5, "test": TERMS} | changes))


def test_a_finished_run(tmp_path):
    run = make_run(tmp_path, epochs=4, data="kmnist", binarise="dynamic")
    write_summary(run)
    assert list_run(run)._asdict() == {
        "name": "a",
        "state": "finished",
        "fault": None,
        "preset": "tutorial",
        "data": "kmnist",
        "protocol": "dynamic",
        "epochs": 4,
        "epochs_done": 4,
        "steps_done": 20,
        "seconds": 2.5,
        "elbo": -140.5,
        "kl": 7.5,
    }


def test_a_stopped_run_stands_at_its_newest_checkpoint(tmp_path):
    run = make_run(tmp_path, epochs=4)
    assert list_run(run)[:2] == ("a", "stopped")
    assert (list_run(run).epochs_done, list_run(run).steps_done) == (0, 0)
    for step, epoch in ((999_999_999, 2), (1_000_000_000, 3), (5, 0)):
        write_checkpoint(run, step, epoch)
    (run / "checkpoints" / "step-000000007.safetensors.copy").write_bytes(b"")
    found = list_run(run)
    assert (found.state, found.steps_done, found.epochs_done, found.seconds) == ("stopped", 1_000_000_000, 3, 1.5)
    assert found.elbo is None


def test_a_held_run_is_running_whatever_its_summary_says(tmp_path):
    run = make_run(tmp_path)
    write_checkpoint(run, 5, 1)
    write_summary(run)
    with hold(run):
        found = list_run(run)
        assert (found.state, found.steps_done, found.elbo) == ("running", 5, None)
    assert list_run(run).state == "finished"


def write_lost_step(run, step):
    (run / "nonfinite").mkdir(exist_ok=True)
    (run / "nonfinite" / f"step-{step:09d}.safetensors").write_bytes(b"")


def test_a_run_whose_next_steps_were_lost_is_not_finite(tmp_path):
    run = make_run(tmp_path)
    write_lost_step(run, 4)
    assert list_run(run).state == "not finite"
    write_checkpoint(run, 3, 1)
    assert list_run(run)[:2] == ("a", "not finite")
    assert list_run(run).steps_done == 3
    with hold(run):
        assert list_run(run).state == "running"


def test_a_run_that_came_past_the_lost_step_is_stopped_or_finished(tmp_path):
    run = make_run(tmp_path)
    write_lost_step(run, 4)
    write_checkpoint(run, 4, 1)
    assert list_run(run).state == "stopped"
    write_lost_step(run, 5)
    assert list_run(run).state == "not finite"
    write_summary(run)
    assert list_run(run).state == "finished"


def test_listing_does_not_hold_a_run(tmp_path):
    run = make_run(tmp_path)
    list_run(run)
    with hold(run):
        pass


def test_a_result_that_is_not_finite_is_none(tmp_path):
    run = make_run(tmp_path)
    write_summary(run, test=TERMS | {"elbo": None, "kl": math.inf})
    assert list_run(run)[-2:] == (None, None)


def damage_config(run):
    (run / "config.toml").write_text("epochs = ")


def damage_encoding(run):
    (run / "config.toml").write_bytes(b"\xff\xfe")


def damage_setting(run):
    (run / "config.toml").write_text("depth = 3")


def damage_nesting(run):
    (run / "config.toml").write_text("a = " + "[" * 100_000)


def damage_summary(run):
    (run / "summary.json").write_text('{"steps": 3')


def damage_terms(run):
    (run / "summary.json").write_text('{"steps": 3, "seconds": 1, "test": []}')


def damage_number(run):
    write_summary(run, seconds="long")


def damage_steps(run):
    write_summary(run, steps=math.inf)


def damage_checkpoint(run):
    write_checkpoint(run, 3, 1).write_bytes(b"\xff" * 20)


def damage_length(run):
    write_checkpoint(run, 3, 1).write_bytes(b"")


def damage_metadata(run):
    write_checkpoint(run, 3, 1).write_bytes(save({}))


def damage_folder(run):
    (run / "summary.json").mkdir()


def damage_pipe(run):
    os.mkfifo(run / "summary.json")


def damage_link(run):
    (run.parent / "elsewhere.json").write_text(json.dumps({"steps": 20, "seconds": 2.5, "test": TERMS}))
    (run / "summary.json").symlink_to(run.parent / "elsewhere.json")


DAMAGES = {name.removeprefix("damage_"): value for name, value in list(globals().items()) if name.startswith("damage_")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_as_such_and_says_which_file(tmp_path, damage):
    DAMAGES[damage](make_run(tmp_path, "broken"))
    make_run(tmp_path, "whole", begun=1)
    broken, whole = list_runs(tmp_path)
    assert (broken.name, broken.state) == ("broken", "damaged")
    assert broken.fault.startswith(("config.toml: ", "summary.json: ", "step-000000003.safetensors: "))
    assert "\n" not in broken.fault
    assert broken.fault.partition(": ")[2]
    assert (whole.name, whole.state, whole.fault) == ("whole", "stopped", None)


def test_the_newest_is_last_and_what_is_no_run_is_left_out(tmp_path):
    for name, begun in (("c", 1), ("a", 2), ("b", 2)):
        make_run(tmp_path, name, begun)
    make_run(tmp_path, ".making")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert [run.name for run in list_runs(tmp_path)] == ["c", "a", "b"]
    os.utime(tmp_path / "c" / "config.toml", (9, 9))  # as resuming does
    assert [run.name for run in list_runs(tmp_path)] == ["c", "a", "b"]


def test_what_is_no_folder_of_runs_is_refused(tmp_path):
    run = make_run(tmp_path)
    with pytest.raises(RunError, match="is a run itself: give the folder that it is in"):
        list_runs(run)
    with pytest.raises(RunError, match="is a file"):
        list_runs(run / "config.toml")
    with pytest.raises(RunError, match="does not exist: train a model first"):
        list_runs(tmp_path / "nothing")


def test_it_needs_no_torch(tmp_path):
    code = "import sys; from vae_fn.cli import runs; runs.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    write_checkpoint(make_run(tmp_path), 5, 1)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "stopped at step 5" in done.stdout
