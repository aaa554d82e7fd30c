"""The tables in docs/laboratory.md are those of the files that were measured."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import laboratory  # noqa: E402

PAGE = (ROOT / "docs/laboratory.md").read_text()


@pytest.mark.parametrize("name", laboratory.TABLES)
def test_a_table_is_what_was_measured(name):
    assert laboratory.table(name) in PAGE


def test_the_standings_are_those_of_the_race():
    assert laboratory.standings() in PAGE


def test_the_page_names_the_commands():
    for command in sum(laboratory.COMMANDS.values(), ()):
        assert command in PAGE


def test_no_unbiased_estimator_was_seen_to_be_biased():
    for name in laboratory.TABLES:
        for row in laboratory.rows(name):
            claimed = not row["unbiased_for"].startswith("nothing") and row["estimator"] != "rws"
            if claimed and row["bias"] is not None:
                assert row["bias"] <= 5 * row["bias_se"] + 1e-9, row
