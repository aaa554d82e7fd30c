"""`vae-fn race`: legs, rows, figure and standings; a race that was stopped goes on to the same numbers."""

import itertools
import json
import shutil

import pytest

from tests.run.runs import write_images
from vae_fn.cli.main import main
from vae_fn.run import races


@pytest.fixture(scope="module")
def whole(blobs, tmp_path_factory):
    """A race that was not stopped."""
    folder = tmp_path_factory.mktemp("race") / "whole"
    assert main(command(blobs, folder, "--quiet")) == 0
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


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


def ends(folder):
    """The bounds of test images at the legs' ends."""
    return {file.name: json.loads(file.read_text())["test"] for file in folder.glob("*-*.json")}


def test_a_race_leaves_legs_rows_figure_and_standings(blobs, tmp_path, capsys):
    assert main(command(blobs, tmp_path / "race", "--json", str(tmp_path / "standings.json"))) == 0
    out = capsys.readouterr().out
    assert "disarm" in out
    assert f"results in {tmp_path / 'race'}" in out
    assert len(points(tmp_path / "race")) == 8
    assert all([step for step, _ in leg] == [0, 3, 6] for leg in points(tmp_path / "race").values())
    rows = (tmp_path / "race/rows.csv").read_text().splitlines()
    assert rows[0] == "estimator,samples,learning_rate,key,step,seconds,forward,backward,split,bound"
    assert len(rows) == 1 + 8 * (3 + 1)
    assert [row.split(",")[-2] for row in rows[1:5]] == ["validation", "validation", "validation", "test"]
    assert (tmp_path / "race/race.png").read_bytes().startswith(b"\x89PNG")
    standings = json.loads((tmp_path / "standings.json").read_text())["standings"]
    assert {each["estimator"] for each in standings} == {"rloo", "disarm"}
    assert standings[0]["bound"] >= standings[1]["bound"]


def test_without_a_preset_and_estimators_the_defaults_suit_each_other(blobs, tmp_path):
    given = ("bernoulli-200", "--estimators", "rloo:2,disarm")
    assert main([word for word in command(blobs, tmp_path / "race", "--quiet") if word not in given]) == 0


def test_legs_that_are_missing_are_run_and_the_others_kept(blobs, whole, copy):
    for lost in [*copy.glob("disarm-*.json")][:3]:
        lost.unlink()
    kept = {file.name: file.stat().st_mtime_ns for file in copy.glob("*-*.json")}
    assert main(command(blobs, copy, "--quiet")) == 0
    assert (points(copy), ends(copy)) == (points(whole), ends(whole))
    assert all((copy / name).stat().st_mtime_ns == when for name, when in kept.items())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--estimators", "rlo"], "there is no estimator 'rlo'. Did you mean rloo?"),
        (["--estimators", "rloo:x"], "K of 'rloo:x' must be a positive number"),
        (["--estimators", "rloo:1"], "the rloo estimator compares each sample with the others"),
        (["--estimators", "pathwise"], "bernoulli latents have no gradient"),
        (["--estimators", "pathwise"], "--estimators "),
        (["--estimators", ","], "nobody races"),
        (["--rates", "fast"], "--rates are numbers with commas between, not 'fast'"),
        (["--rates", "1e-3,0"], "--rates must be positive and finite, not 0.0"),
        (["--keys", "a"], "--keys are numbers"),
        (["--keys", "0,-1"], "--keys must lie between 0 and 2^63 - 1, not -1"),
        (["--steps", "0"], "--steps and --every must be positive"),
        (["--held-out", "0"], "a race is judged on held-out images"),
        (["--bound-samples", "0"], "--bound-samples must be positive"),
        (["--learning-rate=1"], "--learning-rate is no option of a race: use --rates"),
        (["--samples", "2"], "--samples is no option of a race: use --estimators, with K after a name as in rloo:2"),
        (["--keep_last", "2"], "--keep-last is no option of a race: use nothing"),
        (["--quiet", "--schedule", "warmup-cosine", "--warmup-steps", "6"], "leaves nothing of the run's 6 steps"),
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


def test_a_preset_without_held_out_images_cannot_race(capsys):
    assert main(["race", "tutorial"]) == 2
    assert "'tutorial' holds out no images, by which a race is judged: choose from" in capsys.readouterr().err


def test_another_race_in_the_folder_is_not_mixed_with_this_one(blobs, whole, capsys):
    assert main(command(blobs, whole, "--quiet", "--latents", "6")) == 2
    assert "holds a race whose latents is 5, not 6" in capsys.readouterr().err
    assert main(command(blobs, whole, "--quiet", "--every", "2")) == 2
    assert "holds a race whose every is 3, not 2" in capsys.readouterr().err


def test_a_leg_that_was_stopped_goes_on_to_the_same_numbers(blobs, whole, tmp_path, monkeypatch, capsys):
    """Ctrl-C, which is served where it comes, after the first look of the sixth leg was kept."""
    parted = tmp_path / "parted"
    original, looks = races.write_atomic, []

    def interrupted(path, content):
        original(path, content)
        looks.append(path.name)
        if looks.count("underway.safetensors") == 11:
            raise KeyboardInterrupt

    monkeypatch.setattr(races, "write_atomic", interrupted)
    assert main(command(blobs, parted)) == 128 + 2
    assert f"stopped; the same command goes on with what is in {parted}" in capsys.readouterr().err
    assert (len(points(parted)), (parted / "underway.safetensors").exists()) == (5, True)
    taken_up, steps = races._taken_up, []

    def seen(file, leg, runner):
        found = taken_up(file, leg, runner)
        steps.append(None if found is None else found.points[-1].step)
        return found

    monkeypatch.setattr(races, "_taken_up", seen)
    assert main(command(blobs, parted, "--quiet")) == 0
    assert steps == [3, None, None]
    assert (points(parted), ends(parted)) == (points(whole), ends(whole))
    assert not (parted / "underway.safetensors").exists()


def test_legs_are_added_to_a_race(blobs, whole, copy, capsys):
    for file in copy.glob("*-1.json"):
        file.unlink()
    more = ["--estimators", "rloo:2,disarm,rloo:3", "--rates", "1e-2", "--keys", "1"]
    assert main(command(blobs, copy, *more)) == 0
    assert capsys.readouterr().out.count("rloo") == 2
    assert (
        points(copy).items() >= {n: leg for n, leg in points(whole).items() if not n.endswith("0.001-1.json")}.items()
    )
    assert "rloo-3-0.01-1.json" in points(copy)


def test_a_leg_is_the_training_of_its_settings(blobs, tmp_path):
    """Two epochs of 22 steps: the last bounds are those that `vae-fn train` writes and ends with."""
    out, runs = tmp_path / "race", tmp_path / "runs"
    shared = ["bernoulli-200", "--data", blobs, "--latents", "5", "--held-out", "40", "--no-compile"]
    shared += ["--batch-size", "20", "--quiet"]
    one = ["--estimators", "relax:1", "--rates", "1e-2", "--keys", "3", "--steps", "36", "--every", "18"]
    assert main(["race", *shared, *one, "--out", str(out)]) == 0
    same = ["--estimator", "relax", "--samples", "1", "--learning-rate", "1e-2", "--key", "3", "--epochs", "2"]
    assert main(["train", *shared, *same, "--no-tensorboard", "--runs-dir", str(runs), "--name", "same"]) == 0
    summary = json.loads((runs / "same/summary.json").read_text())
    assert summary["steps"] == 36
    assert list(ends(out).values()) == [summary["test"]["elbo"]]


def test_a_schedule_extends_over_the_race(blobs, tmp_path):
    """At the end of half a cosine a leg hardly moves; over the 50 epochs of the preset it would go on."""
    cosine = ["--schedule", "warmup-cosine", "--steps", "40", "--every", "1", "--rates", "3e-2", "--keys", "0"]
    assert main(command(blobs, tmp_path / "race", "--quiet", *cosine)) == 0
    for leg in points(tmp_path / "race").values():
        moves = [abs(after[1] - before[1]) for before, after in itertools.pairwise(leg)]
        assert max(moves[-2:]) < 0.05 * max(moves)


def test_a_bound_of_several_samples(blobs, whole, tmp_path, capsys):
    """It is above the ELBO of the same leg."""
    one = ["--estimators", "disarm", "--rates", "1e-2", "--keys", "0", "--bound-samples", "100"]
    assert main(command(blobs, tmp_path / "bound", *one)) == 0
    assert "100-sample bound of the held-out images" in capsys.readouterr().out
    ((name, leg),) = points(tmp_path / "bound").items()
    assert all(bound > elbo + 0.1 for (_, bound), (_, elbo) in zip(leg, points(whole)[name], strict=True))
    assert main(command(blobs, tmp_path / "grey", "--bound-samples", "30", "--binarise", "grey")) == 2
    assert "needs black and white pixels" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["race.json", "underway.safetensors", "rloo-2-0.01-1.json"])
def test_a_damaged_file_is_one_line(name, blobs, copy, capsys):
    if name.startswith("underway"):
        (copy / "disarm-1-0.01-1.json").unlink()
    (copy / name).write_text("{")
    assert main(command(blobs, copy, "--quiet")) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(copy / name) in told


@pytest.mark.parametrize(
    "option", ["--no-tensorboard", "--keep-best", "--skip-nonfinite", "--checkpoint-every", "--cuda-graph"]
)
def test_what_does_nothing_in_a_race_is_refused(option, blobs, tmp_path, capsys):
    assert main(command(blobs, tmp_path / "race", option)) == 2
    assert capsys.readouterr().err.startswith(f"vae-fn race: error: {option} is no option of a race: use nothing: ")
