"""Reports: several verdicts as one."""

import pytest

from vae_fn.verify import Biased, Inconclusive, Report, Verdict
from vae_fn.verify.report import HEAD


def verdict(claim, status, **fields):
    return Verdict(claim, "it", "exact", status, f"detail of {claim}", **fields)


GOOD = (verdict("mean", "passed", draws=57, seconds=0.0123, resolvable=1e-8), verdict("pure", "passed"))


def test_all_passed():
    report = Report("all", GOOD)
    assert report.passed
    assert report
    assert report.status == "passed"
    assert report.check() is report


def test_the_first_of_the_gravest_is_raised():
    bad = (verdict("a", "inconclusive"), verdict("b", "biased"), verdict("c", "biased"))
    report = Report("some", (*GOOD, *bad))
    assert report.status == "biased"
    assert not report.passed
    assert not report
    with pytest.raises(Biased) as caught:
        report.check()
    assert caught.value.verdict is bad[1]
    with pytest.raises(Inconclusive):
        Report("one", (*GOOD, bad[0])).check()


def test_a_row_for_every_verdict():
    one, two = (dict(zip(HEAD, row, strict=True)) for row in Report("all", GOOD).rows())
    assert one.items() >= {"tier": "exact", "verdict": "passed", "resolves": "1e-08", "draws": "57", "ms": "12"}.items()
    assert two.items() >= {"tier": "exact", "verdict": "passed", "resolves": "", "draws": "", "ms": "0"}.items()
    assert (one["check"], two["check"]) == ("mean", "pure")


def test_it_says_what_failed_and_what_is_missing():
    said = str(Report("battery", (*GOOD, verdict("b", "biased")), ("the weather is not looked at",)))
    assert said.splitlines()[0] == "battery"
    assert "detail of b" in said
    assert "detail of mean" not in said
    assert said.endswith("not covered: the weather is not looked at")
