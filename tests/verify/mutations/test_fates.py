import pytest

from vae_fn.verify.mutations.fates import Mutated, collect, fates
from vae_fn.verify.verdict import Verdict


def at_most(limit, undecided=()):
    """A check of a number."""

    def check(number):
        status = "inconclusive" if number in undecided else "passed" if number <= limit else "rejected"
        return Verdict("at most", f"{number}", "deterministic", status, "")

    return check


def test_every_fate():
    mutants = [("large", 9), ("small", 2), ("odd", 3), ("odd and large", 7), ("no number", "?"), ("itself", 1)]
    checks = [at_most(8, undecided=(3, 7)), at_most(5)]  # at "?" both raise
    found = dict(fates("one", 1, mutants, checks, same=lambda number: number == 1))
    assert found == {
        "large": "killed",
        "small": "survived",
        "odd": "undecided",
        "odd and large": "killed",
        "no number": "undecided",
        "itself": "equivalent",
    }
    mutated = collect(found.items())
    assert mutated == Mutated(("large", "odd and large"), ("small",), ("odd", "no number"), ("itself",))
    assert str(mutated).splitlines() == [
        "mutants: 2 of 5 killed, 1 equivalent",
        "  survived: small",
        "  undecided: odd",
        "  undecided: no number",
        "  equivalent: itself",
    ]


@pytest.mark.parametrize("checks", [[], [at_most(0)], [at_most(5, undecided=(1,))]])
def test_what_does_not_pass_is_not_mutated(checks):
    with pytest.raises(ValueError, match="one does not pass its own checks"):
        next(fates("one", 1, [("large", 9)], checks, same=lambda number: False))


def test_fates_are_told_as_they_are_known():
    def mutants():
        yield "large", 9
        raise AssertionError("the second mutant was made before the first fate was told")

    assert next(fates("one", 1, mutants(), [at_most(5)], same=lambda number: False)) == ("large", "killed")
