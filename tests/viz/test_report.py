import base64
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from tests.viz.cases import FIGURES
from vae_fn import viz

SUMMARY = {
    "parameters": 1149972,
    "seconds": 12.345678,
    "test": {"elbo": -143.126, "reconstruction": -136.6, "kl": 6.5, "protocol": "grey", "nonfinite": []},
}


class Page(HTMLParser):
    """The tags of a page with their attributes, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())


def report(title="A run", **changes):
    given = {
        "config": {"epochs": 3, "name": None, "compile": True, "learning_rate": 1e-3},
        "summary": SUMMARY,
        "environment": {"python": "3.11", "git": {"commit": "abc", "dirty": False}, "command": ["vae-fn", "train"]},
        "deviations": [viz.Deviation(0, 0.06912, -0.5, 1.25)],
        "figures": [viz.ReportFigure("loss_curves", "The curves.", b"\x89PNG data")],
        "notes": ["A note."],
    }
    return viz.report_html(title, **(given | changes))


def test_results_deviations_settings_and_environment_stand_on_the_page():
    texts = Page(report()).texts
    assert "A run" in texts
    start = texts.index("\N{MINUS SIGN}143.13")
    assert [text for text in texts[start:] if text][:4] == [
        "\N{MINUS SIGN}143.13",
        "\N{MINUS SIGN}136.60",
        "6.50",
        "grey",
    ]
    assert any("nats per image" in text for text in texts[:start])
    start = texts.index("z₁")
    assert [text for text in texts[start:] if text][:4] == ["z₁", "0.069", "\N{MINUS SIGN}0.500", "1.250"]
    pairs = set(pairwise(texts))
    assert {
        ("epochs", "3"),
        ("name", "none"),
        ("compile", "true"),
        ("learning_rate", "0.001"),
        ("parameters", "1149972"),
        ("git commit", "abc"),
        ("test KL", "6.5"),
        ("test not finite", "none"),
        ("command", "vae-fn train"),
    } <= pairs
    assert {"A note.", "The curves."} <= set(texts)


def test_keys_are_words_but_for_the_names_of_settings():
    test = SUMMARY["test"] | {"se_noise": 0.01, "kl_by_dimension": [3.5, 3.0], "weighted_sum": 2}
    texts = Page(report(summary={"steps": 10, "test": test})).texts
    pairs = set(pairwise(texts))
    words = {
        ("test standard error from the noise", "0.01"),
        ("test KL by dimension", "3.5 3"),
        ("test weighted sum", "2"),
    }
    assert words <= pairs
    assert [text for text in texts if "_" in text] == ["learning_rate"]


def is_safe(page):
    return not any(tag == "script" or any(name.startswith("on") for name in attrs) for tag, attrs in Page(page).tags)


ATTACK = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ATTACK},
        {"config": {ATTACK: ATTACK}},
        {"environment": {"command": [ATTACK]}},
        {"notes": [ATTACK]},
        {"figures": [viz.ReportFigure('" onerror="alert(1)', ATTACK, b"")]},
    ],
)
def test_texts_are_escaped(changes):
    page = report(**changes)
    assert is_safe(page)
    assert "alert(1)" in page


def test_a_script_is_seen():
    assert not is_safe(report().replace("A note.", ATTACK))
    assert not is_safe(report().replace("alt=", 'onerror="alert(1)" alt='))


def external(page):
    """Addresses on the page that lie outside it."""
    return [
        value
        for _, attrs in Page(page).tags
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "action") and not value.startswith(("data:", "#"))
    ]


def test_the_page_needs_nothing_else():
    page = report()
    assert not external(page)
    assert "url(" not in page
    assert "@import" not in page
    assert external(page.replace("data:image", "https://image"))


def test_figures_are_whole_and_have_texts_instead():
    png = viz.save_figure(FIGURES["gradient_norm"]())["png"]
    page = Page(report(figures=[viz.ReportFigure("gradient_norm", "Its norm.", png)]))
    (image,) = [attrs for tag, attrs in page.tags if tag == "img"]
    head, _, data = image["src"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == png
    assert "gradient norm" in image["alt"]


def test_without_deviations_there_is_no_table_of_them():
    assert "Kolmogorov" in report()
    assert "Kolmogorov" not in report(deviations=[])


def test_a_result_that_is_not_finite_is_said():
    test = SUMMARY["test"] | {"elbo": None, "nonfinite": ["elbo"]}
    assert "not finite" in report(summary=SUMMARY | {"test": test})


def test_equal_runs_have_equal_pages():
    assert report() == report()


def test_a_run_without_a_result_has_none_on_its_page():
    page = report(summary={})
    assert "Result" in report()
    assert "Result" not in page
    assert "Summary" not in page
    assert "A note." in page
