"""The counts of several processes, with pytest-xdist."""

from tests.verify.plugin.runs import REPLAY, said


def test_the_counts_of_all_workers_are_summed(run):
    each = "def test_{0}():\n    claim(900)\n    ledger.trial('{0}', {1})\n"
    conftest = """
import time
def pytest_runtest_logreport(report):  # one test for each worker
    time.sleep(0.1)
def pytest_sessionfinish(session):  # after the last report
    from vae_fn.verify import ledger
    if hasattr(session.config, "workerinput"):
        ledger.assertion("mean", "late", 1e-9, "")
"""
    result = run(each.format("a", True) + each.format("b", False), "-n2", conftest=conftest, subprocess=True)
    result.assert_outcomes(passed=2)
    assert said(result) == [
        "statistical: 1802 assertions, suite false-alarm <= 1.8e-06",
        "statistical: the levels sum to 1.8e-06, more than statistical_budget = 1e-06: "
        "make fewer assertions or lower levels, or integrate where you can",
        "mutants: 1 of 2 rejected; survived: b",
    ]
    assert result.ret == 1


CRASH = """
def test_a(): claim(20)
def test_b():
    claim(30)
    ledger.trial('m', True)
def test_c():
    claim(400)
    os._exit(1)
def test_it():
    claim(1)
    assert False
"""


def test_the_counts_of_a_worker_that_crashed_are_lost_after_its_last_report(run):
    result = run(CRASH, "-n1", subprocess=True)
    result.assert_outcomes(passed=2, failed=2)
    assert REPLAY in result.outlines
    assert said(result) == [
        "statistical: 51 assertions, suite false-alarm <= 5.1e-08",
        "mutants: 1 of 1 rejected",
        "statistical: gw0 did not finish: counts after the last report are lost",
    ]


def test_lost_counts_fail_a_run_that_would_pass(run):
    forgive = "def pytest_handlecrashitem(crashitem, report, sched):\n    report.outcome = 'rerun'\n"
    result = run("def test_it():\n    claim()\n    os._exit(1)", "-n1", conftest=forgive, subprocess=True)
    assert said(result) == ["statistical: gw0 did not finish: counts after the last report are lost"]
    assert result.ret == 1


def test_a_crash_in_somebody_elses_suite_is_not_our_business(pytester):
    pytester.makepyfile("import os\ndef test_a(): pass\ndef test_b(): os._exit(1)")
    result = pytester.runpytest_subprocess("-n1")
    result.assert_outcomes(passed=1, failed=1)
    assert said(result) == []
