"""Statistical tests are run once, whatever plugin tries to run them again."""

import pytest

from tests.verify.plugin.runs import ONE, REPLAY, said

PROTOCOL = """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):  # as in pytest-rerunfailures: the last run is reported
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for _ in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
CALL_PHASE = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # as in pytest-retry: the call phase alone is run again
    if call.when == "call" and call.excinfo:
        call = pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), "call")
        report = yield
        report.outcome, report.longrepr = ("failed", str(call.excinfo.value)) if call.excinfo else ("passed", None)
        return report
    return (yield)
"""
FUNCTION = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):  # inside the call phase
    try:
        return (yield)
    except Exception:
        item.runtest()
"""
RERUNS = {"the protocol": PROTOCOL, "the call phase": CALL_PHASE, "the function": FUNCTION}
FLAPS = "runs = []\ndef test_it():\n    runs.append(1)\n    {}\n    assert len(runs) > 1, 'off by 0.3'"


@pytest.mark.parametrize("conftest", RERUNS.values(), ids=RERUNS)
def test_a_statistical_test_is_not_run_again(run, conftest):
    result = run(FLAPS.format("claim(3)"), conftest=conftest)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*this statistical test (3 assertions) is run again, which is refused: the confirmation stages*",
            "*The first run ended with AssertionError: off by 0.3*",
            f"*{REPLAY}*",
            "statistical: 3 assertions, suite false-alarm <= 3e-09",
            "statistical: run again, which is refused: test_statistical.py::test_it",
        ]
    )
    assert result.ret == 1


@pytest.mark.parametrize("conftest", RERUNS.values(), ids=RERUNS)
def test_other_tests_may_be_run_again(run, conftest):
    result = run(FLAPS.format("pass") + "\ndef test_b(): claim()", conftest=conftest)
    result.assert_outcomes(passed=2)
    assert result.ret == 0


def test_a_test_whose_fixture_was_statistical_is_not_run_again(run):
    body = "runs = []\n@pytest.fixture\ndef box():\n    runs.append(1)\n    claim()\n    assert len(runs) > 1\n"
    result = run(body + "def test_it(box): pass", conftest=PROTOCOL)
    result.assert_outcomes(failed=1)
    assert said(result)[1:] == ["statistical: run again, which is refused: test_statistical.py::test_it"]


def test_a_run_that_nobody_reports_fails_the_session(run):
    silent = "import contextlib\ndef pytest_runtest_teardown(item):\n"
    silent += "    with contextlib.suppress(BaseException):\n        item.runtest()"
    result = run(ONE, conftest=silent)
    result.assert_outcomes(passed=1)
    assert said(result)[1:] == ["statistical: run again, which is refused: test_statistical.py::test_it"]
    assert result.ret == 1


def test_unittest_cases_are_not_run_again_either(run):
    body = (
        "import unittest\nruns = []\nclass Test(unittest.TestCase):\n    def test_it(self):\n        runs.append(1)\n"
    )
    result = run(body + "        claim()\n        assert len(runs) > 1", conftest=PROTOCOL)
    result.assert_outcomes(failed=1)
    assert said(result)[1:] == ["statistical: run again, which is refused: test_statistical.py::Test::test_it"]


def test_examples_of_hypothesis_and_parameters_are_no_re_runs(run):
    result = run(
        "from hypothesis import given, settings, strategies as st\n"
        "@settings(max_examples=5, database=None)\n@given(st.integers(0, 10**9))\ndef test_a(n): claim()\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_b(n): claim()"
    )
    result.assert_outcomes(passed=3)
    assert said(result) == ["statistical: 7 assertions, suite false-alarm <= 7e-09"]
