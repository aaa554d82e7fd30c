"""The table in docs/estimators.md is the catalogue."""

import re
from pathlib import Path

from vae_fn.gradients.estimators import CATALOGUE

PAGE = (Path(__file__).parent.parent / "docs/estimators.md").read_text()


def told(name):
    """A row of the table, from the catalogue."""
    entry = CATALOGUE[name]
    made = entry.make()
    target = made.unbiased_for + (f"; q follows {made.q_follows}" if made.q_follows else "")
    cells = [f"`{name}`", made.latents, target.replace("|", r"\|"), str(made.min_samples), ", ".join(entry.papers)]
    return f"| {' | '.join(cells)} |"


def test_every_estimator_has_its_row():
    rows = re.findall(r"^\| `.*\|$", PAGE, re.MULTILINE)
    assert rows == [told(name) for name in CATALOGUE]
