import base64
import json
import shutil
from dataclasses import fields
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy import stats

from tests.run.trained import small_run, write_images
from tests.viz.test_report import Page, is_safe
from vae_fn.run import report
from vae_fn.run.figures import which
from vae_fn.run.folder import RunError, read_config
from vae_fn.run.report import draw_run, notes
from vae_fn.run.subject import load_subject


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose figures are drawn."""
    folder = tmp_path_factory.mktemp("report")
    write_images(folder / "images.npz", labels=np.arange(300) % 7)
    run = small_run(folder, data=str(folder / "images.npz"), held_out=20)
    draw(run)
    return run


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run without what was drawn."""
    return shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("figures", "report.html"))


@pytest.fixture
def one_figure(monkeypatch):
    """For what does not depend on the figures."""
    monkeypatch.setattr(report, "which", lambda subject: ["samples"])


def draw(run, checkpoint="newest", key=0):
    return draw_run(run, read_config(run), checkpoint, key, quiet=True)


def summary_of(**changes):
    test = {"elbo": -1.0, "reconstruction": -1.0, "kl": 0.0, "protocol": "grey"}
    return json.dumps({"steps": 10, "test": test | changes})


def subject_of(run, checkpoint="newest"):
    return load_subject(run, read_config(run), checkpoint, 0)


def files(run):
    drawn = [run / "report.html", *(run / "figures").iterdir()]
    return {path.name: path.read_bytes() for path in drawn}


def test_every_figure_is_there_and_whole(run):
    names = which(subject_of(run))
    expected = {f"{name}.{ending}" for name in names for ending in ("png", "svg")} | {"deviations.json"}
    assert {path.name for path in (run / "figures").iterdir()} == expected
    for name in names:
        assert imread(run / "figures" / f"{name}.png").std() > 0
        root = ElementTree.parse(run / "figures" / f"{name}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_page_shows_each_figure_and_setting(run):
    page = Page((run / "report.html").read_text())
    pictures = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    for name, picture in zip(which(subject_of(run)), pictures, strict=True):
        content = (run / "figures" / f"{name}.png").read_bytes()
        assert picture == f"data:image/png;base64,{base64.b64encode(content).decode()}"
    config = read_config(run)
    assert {field.name for field in fields(config)} <= set(page.texts)
    assert page.texts[page.texts.index("runs_dir") + 1] == str(config.runs_dir)
    assert page.texts[page.texts.index("name") + 1] == run.name
    assert json.loads((run / "environment.json").read_text())["processor"] in page.texts


def test_the_same_run_gives_the_same_bytes(run, copy):
    again = copy.rename(copy.with_name(run.name))
    draw(again)
    assert files(again) == files(run)


def check_deviations(rows, draws):
    """They are what scipy finds for the same draws."""
    assert [row["dimension"] for row in rows] == list(range(draws.shape[1]))
    for row, values in zip(rows, draws.T.astype(np.float64), strict=True):
        assert row["ks"] == pytest.approx(stats.kstest(values, "norm").statistic, rel=1e-9)
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-9)
        assert row["variance"] == pytest.approx(values.var(), rel=1e-9)


def test_deviations_are_those_of_draws_and_not_of_means(run):
    rows = json.loads((run / "figures" / "deviations.json").read_text())["deviations"]
    subject = subject_of(run)
    check_deviations(rows, subject.draws)
    with pytest.raises(AssertionError):
        check_deviations(rows, subject.means)


def test_what_stands_in_a_run_is_escaped(copy, one_figure):
    attack = copy.rename(copy.with_name("<img src=x onerror=alert(1)>"))
    environment = json.loads((attack / "environment.json").read_text())
    command = {"command": ["<script>alert(1)</script>", "\udcff"]}
    (attack / "environment.json").write_text(json.dumps(environment | command))
    draw(attack)
    page = (attack / "report.html").read_text()
    assert is_safe(page)
    assert page.count("alert(1)") == 3  # in the title, the heading and the environment


def test_a_run_that_goes_on_has_no_result_yet(run, copy, one_figure):
    (copy / "summary.json").unlink()
    (copy / "environment.json").unlink()
    draw(copy)
    assert "Result on the test images" in (run / "report.html").read_text()
    page = (copy / "report.html").read_text()
    assert "Result on the test images" not in page
    assert "not finished" in page


def test_notes_say_which_parameters_are_shown(run):
    subject, summary = subject_of(run), json.loads((run / "summary.json").read_text())
    (note,) = notes(subject, summary)
    assert "step-000000010.safetensors, after step 10, which is epoch 2 of 2, on 50 test images" in note
    trained = subject.trained
    earlier = subject._replace(trained=trained._replace(record=trained.record._replace(step=5)))
    assert "not of these parameters" in notes(earlier, summary)[1]
    assert "no result yet" in notes(subject, {})[1]


def test_notes_say_what_is_missing(run):
    subject, summary = subject_of(run), json.loads((run / "summary.json").read_text())
    assert "no plane" in notes(subject._replace(means=subject.means[:, :1]), summary)[1]
    unlabelled = subject._replace(test=subject.test._replace(labels=None))
    assert "no labels" in notes(unlabelled, summary)[1]
    many = subject._replace(test=subject.test._replace(labels=torch.arange(51)))
    assert "more than 50 classes" in notes(many, summary)[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(
            (name, content)
            for name in ("summary.json", "environment.json")
            for content in ("", "{", "7", "[" * 100_000)
        ),
        ("summary.json", "{}"),
        ("summary.json", '{"steps": 10, "test": {"elbo": -1}}'),
        ("summary.json", '{"steps": 10, "test": 7}'),
        *(("summary.json", summary_of(**change)) for change in ({"elbo": "-1"}, {"kl": []}, {"protocol": None})),
    ],
)
def test_a_damaged_file_is_named(copy, one_figure, name, content):
    (copy / name).write_text(content)
    with pytest.raises(RunError, match=rf"{name} is damaged \(.*\): restore it or delete it"):
        draw(copy)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(copy, monkeypatch):
    monkeypatch.setattr(report, "load_subject", lambda *args: pytest.fail("began to work"))
    (copy / "figures").write_text("a file")
    with pytest.raises(RunError, match="figures must be a folder that you may write to"):
        draw(copy)
    (copy / "figures").unlink()
    monkeypatch.setattr("os.access", lambda place, mode: False)
    with pytest.raises(RunError, match="figures must be a folder that you may write to"):
        draw(copy)
