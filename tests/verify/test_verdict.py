"""Verdicts: which error says what, and which of several is the gravest."""

import pytest

from vae_fn.verify import Biased, Inconclusive, Rejected, Underpowered, Verdict, VerificationError
from vae_fn.verify.verdict import ERRORS, worst

STATUSES = ("biased", "rejected", "inconclusive", "underpowered")
"""From the gravest on."""


def verdict(status, **fields):
    return Verdict("mean", "it", "sampled", status, "what was seen", **fields)


def test_a_pass_checks_as_itself():
    passed = verdict("passed")
    assert passed.passed
    assert passed
    assert passed.check() is passed


@pytest.mark.parametrize("status", STATUSES)
def test_every_other_status_raises_its_error_with_the_verdict(status):
    found = verdict(status, replay="VAE_FN_EPOCH=0 pytest a.py::test_b")
    assert not found.passed
    assert not found
    with pytest.raises(ERRORS[status]) as caught:
        found.check()
    assert type(caught.value) is ERRORS[status]
    assert caught.value.verdict is found
    words = str(caught.value)
    assert "mean of it" in words
    assert status in words
    assert "what was seen" in words
    assert words.endswith("replay: VAE_FN_EPOCH=0 pytest a.py::test_b")


def test_only_a_false_claim_is_rejected_and_all_are_assertion_errors():
    assert issubclass(Biased, Rejected)
    assert not issubclass(Inconclusive, Rejected)
    assert not issubclass(Underpowered, Rejected)
    assert all(issubclass(error, VerificationError) for error in ERRORS.values())
    assert issubclass(VerificationError, AssertionError)


@pytest.mark.parametrize("first", range(4))
def test_the_worst_of_several(first):
    found = [verdict(status) for status in (*reversed(STATUSES[first:]), "passed")]
    assert worst(found) == STATUSES[first]
    assert worst([verdict("passed")] * 2) == worst([]) == "passed"


def test_another_name_changes_nothing_else():
    found = verdict("biased", gap=2.0)
    assert found.named("that").name == "that"
    assert found.named("that").named("it") == found


def test_a_pass_says_no_replay():
    assert "replay" not in str(verdict("passed", replay="pytest"))
