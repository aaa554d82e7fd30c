"""A folder for compiled code that cannot be made: a line that says what to do, and everything goes without it.

Torch makes the folder when its compiler is imported, which these tests have done long before: so all is run anew.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.runs import COMMAND, options, write_images
from vae_fn.run import cache
from vae_fn.run.cache import VARIABLE, default_place, unwritable


@pytest.fixture(params=["a file", "below a file", "no place for folders"])
def place(request, tmp_path):
    file = tmp_path / "file"
    file.touch()
    return {"a file": file, "below a file": file / "cache", "no place for folders": Path("/proc/cache")}[request.param]


def command(place, *args):
    """`vae-fn` in a new process whose folder for compiled code is that place."""
    line = [sys.executable, "-c", COMMAND, *map(str, args)]
    variables = os.environ | {VARIABLE: str(place), "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, env=variables, capture_output=True, text=True, timeout=300)


def test_a_run_is_refused_before_its_folder_is_made_and_goes_without(place, tmp_path):
    write_images(tmp_path)
    *args, without = options(tmp_path, epochs=1)
    refused = command(place, "train", *args)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith(f"vae-fn train: error: what is compiled cannot be kept in {place} (")
    assert refused.stderr.endswith("): name another folder in TORCHINDUCTOR_CACHE_DIR, or use --no-compile\n")
    assert not (tmp_path / "runs").exists()
    done = command(place, "train", *args, without)
    assert done.returncode == 0, done.stderr


def test_a_folder_is_made_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "new"))
    assert unwritable.__wrapped__() is None
    assert [*(tmp_path / "new").iterdir()] == []


def test_the_folder_is_that_of_torch(monkeypatch):
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    assert default_place() == default_cache_dir()
    for names in ({"LOGNAME": "a:b/c"}, {}):
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        assert default_place() == default_cache_dir()


def test_without_any_temporary_folder_a_folder_that_is_named_will_do(tmp_path, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(cache, "default_place", none)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert unwritable.__wrapped__() is None
    monkeypatch.delenv(VARIABLE)
    assert "(No usable temporary directory found)" in unwritable.__wrapped__()


def test_a_user_without_a_name_has_a_folder(monkeypatch):
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert default_place() == default_cache_dir()
    assert Path(default_place()).name == f"torchinductor_uid_{os.getuid()}"
