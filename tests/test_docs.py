"""The pages in docs/: their code runs as it stands, what they point to exists, what they quote was measured."""

import json
import re
from pathlib import Path

import pytest
import torch

from vae_fn import data
from vae_fn.cli.main import COMMANDS
from vae_fn.data import Dataset, Split

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page):
    """The page's code, each block behind as many empty lines as keep its line numbers."""
    text = page.read_text()
    return ["\n" * text[: found.start(1)].count("\n") + found[1] for found in BLOCK.finditer(text)]


def anchors(page):
    """The names of the page's headings, as in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    """Links to files or headings that are not there."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    targets = [((page.parent / file) if file else page, anchor) for file, anchor in links]
    return [(file, anchor) for file, anchor in targets if not file.exists() or (anchor and anchor not in anchors(file))]


@pytest.fixture(scope="module")
def few_images():
    images, labels = data.load_mnist().train
    few = Split(images[:500].clone(), labels[:500].clone())
    return Dataset(few, None, few, (28, 28))


COMPILES = re.compile(r"^[^#\n]*(?:compiling\.\w+\(|compiled_)", re.MULTILINE)
PAGES_WITH_CODE = [
    pytest.param(page, id=page.stem, marks=[pytest.mark.compiled] if any(map(COMPILES.search, blocks(page))) else [])
    for page in PAGES
    if blocks(page)
]
"""What the package's functions are compiled in runs where they are not checked."""


@pytest.mark.parametrize("page", PAGES_WITH_CODE)
def test_the_code_of_a_page_runs(page, few_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load_mnist", lambda: few_images)
    torch.compiler.reset()
    names: dict = {}
    with torch.random.fork_rng():  # the reader's modules draw their own initial values
        for block in blocks(page):
            exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_commands_are_there(page):
    assert not broken_links(page)
    assert set(re.findall(r"vae-fn ([a-z]+)", page.read_text())) <= COMMANDS.keys()


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](page.md#one) [b](#one) [c](page.md#two) [d](other.md) [e](https://x.org/y)\n")
    assert broken_links(page) == [(page, "two"), (tmp_path / "other.md", "")]


def test_the_faults_are_quoted_as_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import faults

    rows = json.loads((ROOT / "benchmarks" / "results" / "faults.json").read_text())["rows"]
    assert faults.table(faults.Row(**row) for row in rows) in (ROOT / "docs" / "faults.md").read_text()
