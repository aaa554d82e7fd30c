"""Which lines are taken for the user's: those of files that are neither installed nor of the kit, and of one's own."""

import statistics

import pytest

import vae_fn.errors
from vae_fn.verify.places import raised, users_line


def fault_in(file):
    """What code raises that calls itself by the name of a file, on its second line, called from here."""
    with pytest.raises(KeyError) as told:
        exec(compile("\nraise KeyError('mine')\n", str(file), "exec"))
    return told.value


def written(file):
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def test_a_file_of_the_user_s_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fault = fault_in(written(tmp_path / "mine.py"))
    assert users_line(fault) == "mine.py, line 2"
    assert raised(fault) == "KeyError: 'mine' (mine.py, line 2)"


@pytest.mark.parametrize(
    "file", ["<string>", "<@beartype(mine)>", "gone.py", statistics.__file__, vae_fn.errors.__file__]
)
def test_what_is_no_file_and_what_is_not_the_user_s_is_passed_over(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "test_places.py, line" in users_line(fault_in(file))


def test_an_installed_file_is_the_user_s_where_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path / "site-packages" / "mine.py")
    fault = fault_in(file)
    assert "test_places.py, line" in users_line(fault)
    assert users_line(fault, own=file) == "site-packages/mine.py, line 2"
    assert raised(fault, own=file) == "KeyError: 'mine' (site-packages/mine.py, line 2)"


def test_without_a_line_a_function_of_the_user_s_is_named_where_it_begins():
    fault = ValueError("said by nobody")
    assert users_line(fault) is None
    assert raised(fault) == "ValueError: said by nobody"
    assert users_line(fault, written).endswith(f"test_places.py, line {written.__code__.co_firstlineno}")
    assert users_line(fault, statistics.mean) is None
