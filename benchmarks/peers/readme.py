"""Put the tables of results/peers.json and results/scaling.json into benchmarks/README.md.

.venv/bin/python benchmarks/peers/readme.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report
import scaling

from vae_fn.run.folder import write_atomic

README = Path(__file__).parent.parent / "README.md"
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "peers": lambda record: report.table(record, "github") + "\n\n![milliseconds a step of each program]",
    "scaling": lambda record: scaling.table(record, "github") + "\n\n![time and memory against each size]",
}


def filled(text: str, results: Path = README.parent / "results") -> str:
    """The text with each table between its marks, and a line on how it was measured."""
    for name in TABLES:
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, after = text[: text.index(start)], text[text.index(end) :]
        text = before + start + _section(name, results) + after
    return text


def _section(name: str, results: Path) -> str:
    path = results / f"{name}.json"
    if not path.exists():
        return "\nNot yet recorded.\n\n"
    record = json.loads(path.read_text())
    return f"\n{TABLES[name](record)}({results.name}/{name}.png)\n\n{report.circumstances(record)}\n\n"


if __name__ == "__main__":
    write_atomic(README, filled(README.read_text()))
