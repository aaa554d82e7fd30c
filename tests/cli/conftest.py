"""A folder to make mistakes in, fresh for each."""

import shutil

import pytest

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
