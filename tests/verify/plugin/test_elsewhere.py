"""The plugin in other people's suites, and in all ways of running pytest."""

import subprocess
import sys

import pytest

import pytest_vae_fn
from tests.verify.plugin.runs import said


def python(code, *args, **rest):
    return subprocess.run([sys.executable, *args, "-c", code], check=True, text=True, capture_output=True, **rest)


def test_the_module_imports_nothing_but_pytest():
    code = "import sys, pytest\nbefore = {*sys.modules}\nimport pytest_vae_fn\nprint(*{*sys.modules} - before)"
    added = set(python(code).stdout.split())
    assert "pytest_vae_fn" in added
    assert not {name.partition(".")[0] for name in added - {"pytest_vae_fn"}} - sys.stdlib_module_names


def test_a_suite_that_uses_nothing_of_the_package_loads_nothing_of_it(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins load what they like
    pytester.makepyfile(
        "import sys\ndef test_it():\n    assert 'pytest_vae_fn' in sys.modules\n"
        "    assert not {'vae_fn', 'torch', 'numpy', 'hypothesis'} & {*sys.modules}"
    )
    result = pytester.runpytest_subprocess("-W", "error", "-p", "pytest_vae_fn")
    result.assert_outcomes(passed=1)
    assert said(result) == []


def test_it_adds_one_ini_option_and_nothing_else(pytester):
    assert [name for name in vars(pytest_vae_fn) if name.startswith("pytest_")] == [
        "pytest_addoption",
        "pytest_configure",
    ]
    without, with_it = (
        pytester.runpytest_inprocess("--help", "--fixtures", "--markers", *args).outlines
        for args in (("-p", "no:vae_fn"), ())
    )
    assert [line for line in with_it if line not in without] == [
        "  statistical_budget (string):",
        "                        what the levels of all statistical assertions may sum to",
    ]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("-p", "no:terminal"), 1),
        (("-x",), 1),
        (("-q", "-q"), 1),
        (("--no-header", "--no-summary"), 1),
        (("--collect-only",), 0),
        (("-p", "no:vae_fn"), 0),
    ],
)
def test_the_budget_holds_in_all_ways_of_running(run, args, code):
    assert run("def test_it(): claim(1001)", *args).ret == code


def test_errors_of_collection_stay_what_they_are(run):
    result = run("claim()\nimport nowhere_to_be_found")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert said(result) == ["statistical: 1 assertion, suite false-alarm <= 1e-09"]


def test_an_installed_package_that_was_imported_before_pytest_gives_no_warning(pytester):
    info = pytester.mkdir("site") / "installed-1.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    info.joinpath("RECORD").write_text("vae_fn/__init__.py,,\npytest_vae_fn.py,,\n")
    info.joinpath("entry_points.txt").write_text("[pytest11]\ninstalled = json\n")
    pytester.makepyfile("def test_it(): pass")
    code = "import sys, vae_fn, pytest_vae_fn, pytest\nsys.path.append('site')\nsys.exit(pytest.main(['-W', 'error']))"
    assert "1 passed" in python(code, "-W", "error", cwd=pytester.path).stdout


def test_jaxtyping_sees_every_module_of_the_package(pytester):
    pytester.makepyfile(
        "from vae_fn import verify\nfrom vae_fn.verify import ledger\ndef test_it():\n"
        "    assert {type(module.__loader__).__name__ for module in (verify, ledger)} == {'_JaxtypingLoader'}"
    )
    result = pytester.runpytest_subprocess("-W", "error", "--jaxtyping-packages=vae_fn,beartype.beartype")
    result.assert_outcomes(passed=1)
