"""The page on ensembles quotes its times as they were measured."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_times_are_quoted_as_measured():
    page = (ROOT / "docs" / "ensembles.md").read_text()
    for row in json.loads((ROOT / "benchmarks" / "results" / "ensembles.json").read_text())["rows"]:
        assert "| {way} | {ms:.2f} | {ratio:.3f} ({q1:.3f} to {q3:.3f}) |".format(**row) in page
