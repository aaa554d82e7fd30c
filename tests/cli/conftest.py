"""A folder to make mistakes in, fresh for each."""

import importlib
import shutil
import sys

import pytest

import vae_fn.bench
from tests.bench.canned import row
from tests.cli.benches import MINE
from tests.cli.workplace import make_workplace


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_workplace(folder)
    return folder


@pytest.fixture
def here(base, tmp_path, monkeypatch):
    """A copy of the folder, which is the current one."""
    shutil.copytree(base, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def user_code(tmp_path, monkeypatch):
    """An empty folder for modules of the user's, which is the current one; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    importlib.invalidate_caches()
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def mine(user_code):
    (user_code / "mine.py").write_text(MINE)
    return user_code


@pytest.fixture
def measured(monkeypatch):
    """Times that are made up: eager takes 9 ms, the donated step what is put here."""
    times = {"donated": [3.0, 3.1, 3.2, 3.3, 3.4]}

    def measure(sources, names, settings, progress):
        for source in sources:
            eager = [9.0, 9.1, 9.2, 9.3, 9.4]
            sizes = {"batch": source.batch, "samples": source.samples, "members": source.members}
            for name in names:
                yield row(times.get(name, eager), eager, name) | sizes

    monkeypatch.setattr(vae_fn.bench, "measure", measure)
    return times
