"""`vae-fn replay`: the table, its mark, the file, and what it refuses."""

import json
import shutil

import pytest

from tests.run.poison import exploding
from vae_fn.cli.main import main
from vae_fn.run.cases import find_case, read_case, save_case
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.train import train


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """The folder of a run whose second step was lost."""
    settings = exploding(tmp_path_factory.mktemp("lost"))
    with pytest.raises(NonFiniteError):
        train(settings, quiet=True)
    return settings.runs_dir / "small"


@pytest.fixture
def run(lost, tmp_path):
    return shutil.copytree(lost, tmp_path / "small")


def replay(capsys, *args):
    status = main(["replay", *map(str, args)])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_table_marks_the_first_quantity(run, capsys):
    status, out, err = replay(capsys, run)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    marked = [" ".join(line.split()) for line in lines if line.startswith(">")]
    assert marked == ["> posterior/layer 2 Linear 16x4 64 NaN 0, 1, 2, 3, 4 finite"]
    assert any(line.split()[:3] == ["params", "(20)", "finite"] for line in lines)
    assert lines[-1] == (
        f"step 2 of {run}: posterior/layer 2 Linear is the first that is not finite; "
        "in float64 nothing is: float32 overflows"
    )
    assert max(map(len, lines)) <= 120 + len(str(run))


def test_no_data_set_is_needed(run, capsys, monkeypatch):
    def refuse(*args):
        raise AssertionError("the data were asked for")

    monkeypatch.setattr("vae_fn.run.assemble.load", refuse)
    assert replay(capsys, run)[0] == 0


def test_the_file_holds_every_quantity_twice(run, tmp_path, capsys):
    assert replay(capsys, run, "--json", tmp_path / "out.json", "--quiet", "--step", "2") == (0, "", "")
    written = json.loads((tmp_path / "out.json").read_text())
    assert (written["step"], written["found"], written["first"]) == (2, True, "posterior/layer 2 Linear")
    assert [row["name"] for row in written["findings"]] == [row["name"] for row in written["float64"]]
    assert all(row["nan"] == row["inf"] == row["minus_inf"] == 0 for row in written["float64"])
    assert written["findings"] == json.loads((run / "nonfinite" / "step-000000002.json").read_text())["findings"]


def test_a_case_that_turns_out_finite_says_so(run, capsys):
    case = read_case(find_case(run))
    state = case.inputs.state
    small = {part: {name: 0 * leaf for name, leaf in leaves.items()} for part, leaves in state.params.items()}
    save_case(
        run, case._replace(step=3, inputs=case.inputs._replace(state=state._replace(params=small, step=state.step + 1)))
    )
    status, out, _ = replay(capsys, run)
    assert status == 0
    assert out.splitlines()[-1] == f"step 3 of {run}: everything is finite here"
    assert not any(line.startswith(">") for line in out.splitlines())


def test_mistakes_are_one_line(run, tmp_path, capsys):
    path = find_case(run)
    whole = path.read_bytes()
    mistakes = [
        ([run, "--step", "5"], "no case of step 5: use --step 2"),
        ([run, "--step", "0"], "--step must be positive, not 0"),
        ([run, "--device", "cuda:99"], "use another --device"),
        ([run, "--device", "toaster"], "--device 'toaster' is unknown"),
        ([run, "--json", tmp_path / "no" / "x.json"], "--json must be a file in an existing folder"),
        ([tmp_path / "smal"], "Did you mean"),
        ([], "missing argument: RUN"),
    ]
    for args, words in mistakes:
        check_refused(capsys, args, words)
    path.write_bytes(whole[:-10])
    check_refused(capsys, [run], "is truncated or cannot be read")
    path.write_bytes(b"{}")
    check_refused(capsys, [run], "is truncated or cannot be read")
    path.unlink()
    check_refused(capsys, [run], "there is nothing to replay")


def check_refused(capsys, args, words):
    status, out, err = replay(capsys, *args)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("vae-fn replay: error: ")
    assert words in err
