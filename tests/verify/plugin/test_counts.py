"""The assertions and mutants of one process: counted, held to the budget, and repeatable."""

import pytest

from tests.verify.plugin.runs import ONE, REPLAY, said
from vae_fn.verify import ledger


def test_assertions_and_mutants_of_all_tests_are_summed(run):
    body = "def test_a(): claim(300)\ndef test_b(): claim(12)\ndef test_c():\n"
    result = run(body + "    for i in range(71): ledger.trial(f'm{i}', True)")
    assert said(result) == [
        "statistical: 312 assertions, suite false-alarm <= 3.1e-07",
        "mutants: 71 of 71 rejected",
    ]
    assert result.ret == 0


def test_fixtures_modules_and_failures_count_too(run):
    result = run(
        "claim(2)\n"
        "@pytest.fixture(scope='module')\n"
        "def box():\n    claim(3)\n    yield\n    claim(4)\n"
        "def test_a(box):\n    claim()\n    assert False\n"
    )
    assert said(result) == ["statistical: 10 assertions, suite false-alarm <= 1e-08"]


@pytest.mark.parametrize("body", ["", "def test_it(): pass", "def test_it(): assert False"])
def test_nothing_is_said_where_nothing_is_statistical(run, body):
    result = run(body)
    assert said(result) == []
    assert "replay" not in result.stdout.str()
    assert result.ret == (pytest.ExitCode.NO_TESTS_COLLECTED if not body else int("False" in body))


def test_what_ran_before_in_this_process_is_not_counted(run):
    ledger.assertion("mean", "earlier", 0.5, "")
    ledger.trial("earlier", False)
    assert said(run(ONE)) == ["statistical: 1 assertion, suite false-alarm <= 1e-09"]


@pytest.mark.parametrize(
    ("executed", "ini", "code"),
    [
        ("claim(1000)", "", 0),
        ("claim(1001)", "", 1),
        ("claim(1001)", "statistical_budget = 2e-6", 0),
        ("claim()", "statistical_budget = 0", 1),
        ("claim(1, 1e-2)", "", 1),
        ("claim(1, 1e-2)", "statistical_budget = 0.01", 0),
    ],
)
def test_the_levels_may_sum_to_the_budget(run, executed, ini, code):
    result = run(f"def test_it(): {executed}", ini=ini)
    result.assert_outcomes(passed=1)
    assert result.ret == code
    assert sum("statistical: the levels sum to" in line for line in said(result)) == code


def test_the_line_about_the_budget_says_what_to_do(run):
    assert said(run("def test_it(): claim(2000)")) == [
        "statistical: 2000 assertions, suite false-alarm <= 2e-06",
        "statistical: the levels sum to 2e-06, more than statistical_budget = 1e-06: "
        "make fewer assertions or lower levels, or integrate where you can",
    ]


@pytest.mark.parametrize("value", ["much", "-1e-6", "2", "nan"])
def test_a_budget_is_a_probability(run, value):
    result = run("", ini=f"statistical_budget = {value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*statistical_budget is a probability such as 1e-6, not '{value}'*"])


def test_a_mutant_that_survives_fails_the_run(run):
    result = run("def test_it():\n    ledger.trial('elbo: sign', False)\n    ledger.trial('elbo: half', True)")
    result.assert_outcomes(passed=1)
    assert said(result) == ["mutants: 1 of 2 rejected; survived: elbo: sign"]
    assert result.ret == 1


FAILURES = {
    "assert": "def test_it():\n    claim(2)\n    assert False",
    "without a traceback": "def test_it():\n    claim()\n    pytest.fail('no', pytrace=False)",
    "of a strict xfail": "@pytest.mark.xfail(strict=True)\ndef test_it(): claim()",
    "in a fixture": "@pytest.fixture\ndef box():\n    claim()\n    assert False\ndef test_it(box): pass",
    "in a teardown": "@pytest.fixture\ndef box():\n    yield\n    claim()\n    assert False\ndef test_it(box): pass",
    "said already": f"def test_it():\n    claim()\n    raise AssertionError({REPLAY!r})",
}


@pytest.mark.parametrize("args", [(), ("--tb=short",), ("--show-capture=no",), ("-q",)], ids=" ".join)
@pytest.mark.parametrize("body", FAILURES.values(), ids=FAILURES)
def test_a_failure_shows_once_how_to_run_it_again(run, body, args):
    lines = run(body, *args).outlines
    marked = [line for line in lines if line.removeprefix("E").strip().removeprefix("AssertionError: ") == REPLAY]
    assert len(marked) == 1


def test_only_failures_and_only_their_own_assertions_are_shown(run):
    result = run(
        "def test_a(): claim(test='test_a')\ndef test_b(): assert False\n"
        "@pytest.mark.xfail\ndef test_c():\n    claim(test='test_c')\n    assert False",
        "-s",
        conftest="def pytest_runtest_logreport(report):\n    print(report.longreprtext)",
    )
    result.assert_outcomes(passed=1, failed=1, xfailed=1)
    assert "replay" not in result.stdout.str()


def test_a_real_check_is_counted_and_shows_its_replay_once(run):
    result = run(
        "import torch\nfrom vae_fn import random, verify\ndef test_it():\n"
        "    verify.mean(lambda key, n: random.normal(key, (n, 2)), torch.ones(2), name='shifted').check()"
    )
    assert said(result) == ["statistical: 1 assertion, suite false-alarm <= 1e-09"]
    shown = [line for line in result.outlines if "replay: VAE_FN_EPOCH=" in line and line.endswith("::test_it")]
    assert len(shown) == 1
