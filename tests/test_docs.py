"""The code of the pages in docs/, run as it stands, page by page from top to bottom."""

import re
from pathlib import Path

import pytest
import torch

from vae_fn import data
from vae_fn.data import Dataset, Split

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page):
    """The page's code, each block behind as many empty lines as keep its line numbers."""
    text = page.read_text()
    return ["\n" * text[: found.start(1)].count("\n") + found[1] for found in BLOCK.finditer(text)]


@pytest.fixture(scope="module")
def few_images():
    images, labels = data.load_mnist().train
    few = Split(images[:500].clone(), labels[:500].clone())
    return Dataset(few, None, few, (28, 28))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, few_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load_mnist", lambda: few_images)
    torch.compiler.reset()
    names: dict = {}
    with torch.random.fork_rng():  # the reader's modules draw their own initial values
        for block in blocks(page):
            exec(compile(block, page, "exec"), names)
