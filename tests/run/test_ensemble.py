"""Ensembles: every member is the run that it would be alone, whatever happens to the others."""

import json
import shutil
import statistics
from dataclasses import replace

import pytest
import torch

from tests.run.companies import alone, check_members, members
from tests.run.runs import rows, summary, write_images
from vae_fn.compiling import repeated
from vae_fn.run import assemble, sitting
from vae_fn.run.checkpoints import checkpoints, forget_after
from vae_fn.run.checks import ConfigError
from vae_fn.run.ensemble import resume_ensemble, train_ensemble
from vae_fn.run.folder import ENSEMBLE, RunError, hold, members_of, open_run, read_config
from vae_fn.run.interrupts import Interrupted
from vae_fn.run.listing import list_runs
from vae_fn.run.members import Varied
from vae_fn.run.resume import resume
from vae_fn.run.sitting import advancing
from vae_fn.training.vmapped import vmapped

pytestmark = pytest.mark.usefixtures("same_checkout")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def dated(folder):
    """Every file and folder, and when it was changed."""
    return {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


def test_members_are_what_they_are_alone_and_are_runs_like_any_other(images, tmp_path):
    configs = members(images, tmp_path / "runs")
    folder, fault = train_ensemble(configs, quiet=True)
    assert (folder, fault) == (tmp_path / "runs" / "small", None)
    check_members(configs, tmp_path / "alone")
    for run, each in zip(members_of(folder), configs, strict=True):
        assert read_config(run) == each
        assert open_run(run) == run
    listed = list_runs(tmp_path / "runs")
    assert [run.name for run in listed] == [f"small/{each.run_name}" for each in configs]
    assert {run.state for run in listed} == {"finished"}


def test_the_summary_has_mean_and_spread_over_the_keys_of_each_setting(images, tmp_path):
    folder, _ = train_ensemble(members(images, tmp_path), quiet=True)
    content = json.loads((folder / "summary.json").read_text())
    elbos = [member["test"]["elbo"] for member in content["members"]]
    assert elbos == [summary(run)["test"]["elbo"] for run in members_of(folder)]
    for setting, beta, own in zip(content["settings"], (1.0, 3.0), (elbos[:2], elbos[2:]), strict=True):
        assert (setting["beta"], setting["learning_rate"], setting["elbo"]["count"]) == (beta, 1e-3, 2)
        assert setting["elbo"]["mean"] == pytest.approx(statistics.fmean(own), rel=1e-12)
        assert setting["elbo"]["standard_deviation"] == pytest.approx(statistics.stdev(own), rel=1e-12)
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (folder / "curves.svg").read_bytes()


def test_an_ensemble_that_was_stopped_goes_on_to_the_same_bits(images, tmp_path, stop_at):
    configs = members(images, tmp_path / "stopped")
    stop_at(14)
    with pytest.raises(Interrupted, match=r"stopped at step 15 of 40, saved in .*small; go on with --resume .*small$"):
        train_ensemble(configs, quiet=True)
    stop_at(None)
    folder = tmp_path / "stopped" / "small"
    assert {checkpoints(run)[0].stem for run in members_of(folder)} == {"step-000000015"}
    assert not (folder / "summary.json").exists()
    assert resume_ensemble(folder, configs[0], exact=True, quiet=True) == (folder, None)
    check_members(configs, tmp_path / "alone")


def test_members_that_saved_at_different_steps_go_on_from_the_newest_in_common(images, tmp_path):
    configs = members(images, tmp_path / "killed", keep_last=9)
    folder, _ = train_ensemble(configs, quiet=True)
    for number, run in enumerate(members_of(folder)):
        forget_after(run, 36 if number else 27)
        (run / "summary.json").unlink()
    (folder / "summary.json").unlink()
    resume_ensemble(folder, configs[0], quiet=True)
    for each in configs:
        assert rows(folder / each.run_name) == rows(alone(each, tmp_path / "alone"))


def test_without_a_step_in_common_each_member_has_to_go_on_by_itself(images, tmp_path):
    configs = members(images, tmp_path, Varied(2))
    folder, _ = train_ensemble(configs, quiet=True)
    first, second = members_of(folder)
    for run in (first, second):
        (run / "summary.json").unlink()
    forget_after(first, 36)
    for path in checkpoints(second)[1:]:
        path.unlink()
    with pytest.raises(RunError, match=r"go on with each by itself, as with --resume .*key-0"):
        resume_ensemble(folder, configs[0], quiet=True)
    shutil.rmtree(second / "checkpoints")
    resume_ensemble(folder, configs[0], quiet=True)
    assert rows(second) == rows(alone(configs[1], tmp_path / "alone"))


def test_a_finished_ensemble_takes_more_epochs_and_nothing_else(images, tmp_path):
    configs = members(images, tmp_path / "runs", Varied(2))
    folder, _ = train_ensemble(configs, quiet=True)
    before = dated(folder)
    with pytest.raises(RunError, match="is finished: see it with `vae-fn runs"):
        resume_ensemble(folder, configs[0], quiet=True)
    assert dated(folder) == before
    with pytest.raises(ConfigError, match=r"--hidden is 8 in .* and 16 here"):
        resume_ensemble(folder, replace(configs[0], hidden=16), quiet=True)
    resume(folder / "key-0", replace(configs[0], epochs=3), quiet=True)
    resume_ensemble(folder, replace(configs[0], epochs=3), quiet=True)
    check_members([replace(each, epochs=3) for each in configs], tmp_path / "alone")


def test_members_trained_on_alone_are_summarised_anew(images, tmp_path):
    configs = members(images, tmp_path, Varied(2), epochs=1)
    folder, _ = train_ensemble(configs, quiet=True)
    curves = (folder / "curves.png").read_bytes()
    first, second = (replace(each, epochs=2) for each in configs)
    resume(folder / "key-1", second, quiet=True)
    with pytest.raises(ConfigError, match=r"have 1, 2 epochs, .* use --epochs 2 to bring all there"):
        resume_ensemble(folder, configs[0], quiet=True)
    resume(folder / "key-0", first, quiet=True)
    assert resume_ensemble(folder, first, quiet=True) == (folder, None)
    tests = [member["test"] for member in json.loads((folder / "summary.json").read_text())["members"]]
    assert tests == [summary(run)["test"] for run in members_of(folder)]
    assert (folder / "curves.png").read_bytes() != curves
    with pytest.raises(RunError, match="is finished: see it with"):
        resume_ensemble(folder, first, quiet=True)


def test_an_ensemble_in_the_way_is_kept_unless_told_otherwise(images, tmp_path):
    configs = members(images, tmp_path, Varied(2))
    folder, _ = train_ensemble(configs, quiet=True)
    with pytest.raises(RunError, match="go on with it by --resume"):
        train_ensemble(configs, quiet=True)
    with hold(folder / "key-1"), pytest.raises(RunError, match="key-1 is being written by another process"):
        train_ensemble(configs, overwrite=True, quiet=True)
    inside = shutil.copy(images, folder / "x.npy")
    with pytest.raises(RunError, match="lies in the run that --overwrite deletes"):
        train_ensemble([replace(each, data=str(inside)) for each in configs], overwrite=True, quiet=True)
    foreign = shutil.copytree(folder / "key-1", folder / "mine")
    with pytest.raises(RunError, match=r"mine would go with .*small: move it elsewhere first"):
        train_ensemble(configs, overwrite=True, quiet=True)
    assert open_run(foreign) == foreign
    shutil.rmtree(foreign)
    train_ensemble(configs[:1], overwrite=True, quiet=True)
    assert members_of(folder) == [folder / "key-0"]
    assert not (folder / "key-1").exists()


def test_the_images_are_loaded_once(images, tmp_path, monkeypatch):
    original, loaded = assemble.load, []
    monkeypatch.setattr(assemble, "load", lambda data: loaded.append(data) or original(data))
    train_ensemble(members(images, tmp_path, epochs=1), quiet=True)
    assert len(loaded) == 1


@pytest.mark.parametrize("content", ["", "{}", '{"members": [{"name": "../x"}]}', '{"members": [3]}'])
def test_a_damaged_description_is_refused(content, images, tmp_path):
    (tmp_path / ENSEMBLE).write_text(content)
    with pytest.raises(RunError, match="is damaged: restore it"):
        members_of(tmp_path)


def test_side_by_side_members_come_to_the_same_to_rounding(images, tmp_path, monkeypatch):
    """As on an accelerator, but uncompiled: in float32, to 1e-4 of each number."""

    def beside(parts):
        return vmapped(parts[0].family, sitting._alike([each.member for each in parts]), repeated)

    configs = members(images, tmp_path / "beside")
    monkeypatch.setattr(sitting, "advancing", beside)
    folder, _ = train_ensemble(configs, quiet=True)
    monkeypatch.setattr(sitting, "advancing", advancing)
    for each in configs:
        for one, other in zip(rows(folder / each.run_name), rows(alone(each, tmp_path / "alone")), strict=True):
            for name in ("elbo", "reconstruction", "kl"):
                assert one[name] == pytest.approx(other[name], rel=1e-4), name
            assert (one["beta"], one["learning_rate"]) == (other["beta"], other["learning_rate"])


def test_elsewhere_members_go_side_by_side(images, tmp_path, monkeypatch):
    """The device decides: what it makes of them is not run here."""
    made = []
    monkeypatch.setattr(sitting, "vmapped", lambda *args: made.append(args) or (lambda *stretch: stretch))
    parts = assemble.assemble_members(members(images, tmp_path))
    advancing([each._replace(config=replace(each.config, compile=True, device="cuda")) for each in parts])
    assert [sorted(member.values) for member in made[0][1]] == [["beta", "learning_rate"]] * 4
    assert [member.values["beta"].item() for member in made[0][1]] == [1.0, 1.0, 3.0, 3.0]


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_members_are_what_they_are_alone_to_the_bit(images, tmp_path):
    """Betas that include the number 1, which a separate run knows when it is compiled."""
    configs = members(images, tmp_path / "runs", Varied(betas=(1.0, 3.0)), compile=True, epochs=1, batch_size=32)
    train_ensemble(configs, quiet=True)
    for each in configs:
        torch.compiler.reset()
        check_members([each], tmp_path / "alone")
