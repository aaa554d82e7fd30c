"""Members of an ensemble whose numbers are lost: they end, and the others go on."""

import json
import math

import pytest

from tests.run.companies import check_members, members
from tests.run.poison import CLOCK, config, harm
from tests.run.runs import write_images
from tests.training.poison import no_number
from vae_fn.run import sitting
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.ensemble import resume_ensemble, train_ensemble
from vae_fn.run.folder import RunError, members_of
from vae_fn.run.members import Varied, member_settings
from vae_fn.run.sitting import was_lost

pytestmark = pytest.mark.usefixtures("same_checkout")


def test_a_member_that_is_lost_ends_and_the_others_go_on(tmp_path, monkeypatch):
    """The step at which beta is 7 is harmed: step 8 where beta rises to 64 in as many steps."""
    harm(monkeypatch, no_number, 8)
    configs = member_settings(config(tmp_path, **CLOCK, checkpoint_every=3), Varied(betas=(32.0, 64.0), keys=2))
    folder, fault = train_ensemble(configs, quiet=True)
    lost = [folder / f"beta-64-key-{key}" for key in (0, 1)]
    assert isinstance(fault, NonFiniteError)
    assert str(fault).startswith("2 of 4 members were lost, the others went on: beta-64-key-0: step 8 is not finite")
    for run in lost:
        assert (run / "nonfinite" / "step-000000008.safetensors").exists()
        assert not (run / "summary.json").exists()
    check_members(configs[:2], tmp_path / "alone")
    assert [was_lost(run) for run in members_of(folder)] == [False, False, True, True]
    content = json.loads((folder / "summary.json").read_text())
    assert [member["test"] is None for member in content["members"]] == [False, False, True, True]
    assert [setting["elbo"]["count"] for setting in content["settings"]] == [2, 0]
    assert content["settings"][1]["elbo"]["mean"] is None
    with pytest.raises(RunError, match="is finished"):
        resume_ensemble(folder, configs[0], quiet=True)


def test_where_all_members_are_lost_more_epochs_are_no_way_on(tmp_path, monkeypatch):
    harm(monkeypatch, no_number, 8)
    configs = member_settings(config(tmp_path, **CLOCK, checkpoint_every=3), Varied(2))
    folder, fault = train_ensemble(configs, quiet=True)
    assert str(fault).startswith("all members in training were lost: key-0: step 8 is not finite")
    with pytest.raises(RunError, match=r"every member of .*small was lost, so none can go on: .* train anew"):
        resume_ensemble(folder, configs[0], quiet=True)


def test_a_result_that_is_not_finite_is_left_out_of_the_means(tmp_path, monkeypatch):
    original = sitting.Recorder.test

    def lost(self, params):
        found = original(self, params)
        return found._replace(elbo=math.nan) if self.parts.config.key else found

    monkeypatch.setattr(sitting.Recorder, "test", lost)
    folder, fault = train_ensemble(members(write_images(tmp_path), tmp_path / "runs", Varied(2)), quiet=True)
    assert "1 of 2 members was lost, the others went on: key-1: the test ELBO is not finite" in str(fault)
    (setting,) = json.loads((folder / "summary.json").read_text())["settings"]
    assert (setting["elbo"]["count"], setting["elbo"]["standard_deviation"], setting["kl"]["count"]) == (1, None, 2)
