"""`vae-fn race`: legs, rows, figure and standings; a race that was stopped goes on to the same numbers."""

import json

import pytest

from tests.run.runs import write_images
from vae_fn.cli.main import main


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return str(write_images(tmp_path_factory.mktemp("data")))


def command(blobs, out, *more):
    return [
        *("race", "bernoulli-200", "--data", blobs, "--latents", "5", "--held-out", "40", "--no-compile"),
        *("--batch-size", "20", "--estimators", "rloo:2,disarm", "--rates", "1e-3,1e-2", "--keys", "0,1"),
        *("--steps", "6", "--every", "3", "--out", str(out), *more),
    ]


def points(folder):
    """What the legs reached, without times."""
    found = {}
    for file in folder.glob("*-*.json"):
        content = json.loads(file.read_text())
        found[file.name] = [(step, bound) for step, _, bound in content["points"]]
    return found


def test_a_race_leaves_legs_rows_figure_and_standings(blobs, tmp_path, capsys):
    assert main(command(blobs, tmp_path / "race", "--json", str(tmp_path / "standings.json"))) == 0
    out = capsys.readouterr().out
    assert "disarm" in out
    assert f"results in {tmp_path / 'race'}" in out
    assert len(points(tmp_path / "race")) == 8
    assert all([step for step, _ in leg] == [0, 3, 6] for leg in points(tmp_path / "race").values())
    rows = (tmp_path / "race/rows.csv").read_text().splitlines()
    assert rows[0] == "estimator,samples,learning_rate,key,step,seconds,forward,backward,split,bound"
    assert len(rows) == 1 + 8 * 3
    assert (tmp_path / "race/race.png").read_bytes().startswith(b"\x89PNG")
    standings = json.loads((tmp_path / "standings.json").read_text())["standings"]
    assert {each["estimator"] for each in standings} == {"rloo", "disarm"}
    assert standings[0]["bound"] >= standings[1]["bound"]


def test_a_race_that_was_stopped_goes_on_to_the_same_numbers(blobs, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert main(command(blobs, whole, "--quiet")) == 0
    assert main(command(blobs, parted, "--quiet")) == 0
    reached = points(parted)
    assert reached == points(whole)
    for lost in [*parted.glob("disarm-*.json")][:3]:
        lost.unlink()
    kept = {file.name: file.stat().st_mtime_ns for file in parted.glob("*-*.json")}
    assert main(command(blobs, parted, "--quiet")) == 0
    assert points(parted) == reached
    assert all((parted / name).stat().st_mtime_ns == when for name, when in kept.items())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--estimators", "rlo"], "there is no estimator 'rlo'"),
        (["--estimators", "rloo:x"], "K of 'rloo:x' must be a positive number"),
        (["--estimators", "rloo:1"], "the rloo estimator compares each sample with the others"),
        (["--estimators", "pathwise"], "bernoulli latents have no gradient"),
        (["--estimators", ","], "nobody races"),
        (["--rates", "fast"], "rates are numbers with commas between, not 'fast'"),
        (["--keys", "a"], "keys are numbers"),
        (["--steps", "0"], "steps and every must be positive"),
        (["--held-out", "0"], "a race is judged on held-out images"),
    ],
)
def test_a_mistake_is_one_line(more, reason, blobs, tmp_path, capsys):
    assert main(command(blobs, tmp_path / "race", *more)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("vae-fn race: error: ")
    assert reason in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "race").exists()


def test_another_race_in_the_folder_is_not_mixed_with_this_one(blobs, tmp_path, capsys):
    assert main(command(blobs, tmp_path / "race", "--quiet")) == 0
    assert main(command(blobs, tmp_path / "race", "--quiet", "--latents", "6")) == 2
    assert "holds a race with other settings" in capsys.readouterr().err
