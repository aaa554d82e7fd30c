"""An ensemble that is killed and resumed ends with the bits of one that was not."""

import signal

import pytest

from tests.run.runs import check_equal, finish, options, write_images
from tests.run.test_kills import AT_A_CHECKPOINT, IN_A_FILE, IN_A_ROW, KILL
from vae_fn.run.folder import members_of, saved_steps

MOMENTS = {
    "before the first checkpoint": (AT_A_CHECKPOINT.format(count=1, before=True), (0, 0)),
    "between the checkpoints of two members": (AT_A_CHECKPOINT.format(count=3, before=False), (20, 11)),
    "in the second member's checkpoint": (IN_A_FILE.format(count=5), (20, 11)),
    "in a row": (IN_A_ROW.format(count=11), (22, 22)),
}
"""What kills it, and the newest checkpoint of each member then."""


def arguments(folder):
    write_images(folder)
    return ["train", *options(folder, epochs=3), "--keys", "2", "--no-tensorboard"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of an ensemble that nobody disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    status, err = finish(*arguments(folder))
    assert status == 0, err
    return folder / "runs" / "small"


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed(moment, tmp_path, reference):
    ensemble, (prelude, saved) = tmp_path / "runs" / "small", MOMENTS[moment]
    status, err = finish(*arguments(tmp_path), prelude=KILL + prelude)
    assert status == -signal.SIGKILL, err
    assert not (ensemble / "summary.json").exists()
    assert tuple(max(saved_steps(run / "checkpoints"), default=0) for run in members_of(ensemble)) == saved
    status, err = finish("train", "--resume", ensemble)
    assert status == 0, err
    for run, undisturbed in zip(members_of(ensemble), members_of(reference), strict=True):
        check_equal(run, undisturbed)
