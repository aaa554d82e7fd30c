"""Deliberately wrong versions, each with the check that must reject it."""

from collections.abc import Callable
from typing import NamedTuple

from vae_fn.verify import ledger
from vae_fn.verify.verdict import Verdict


class Mutant(NamedTuple):
    """A wrong version of something, as a pair of runs of one check.

    Attributes:
        name: what is wrong, as in `iwae: mean of logarithms`.
        family: what kind of thing it is: `elbo`, `estimator`, `distribution`, `optimizer`, `function`, ...
        origin: where it was seen, or "" for one that we made up.
        wrong: runs the check on the wrong version; it must reject.
        right: runs the same check on the right version; it must pass.
        blind: runs a check that passes although the version is wrong, where that is worth knowing.
    """

    name: str
    family: str
    origin: str
    wrong: Callable[[], Verdict]
    right: Callable[[], Verdict]
    blind: Callable[[], Verdict] | None = None


def is_killed(mutant: Mutant) -> bool:
    """Whether its check rejects it; what the check could not decide is not killed. Counted in the ledger."""
    killed = mutant.wrong().status in ("biased", "rejected")
    ledger.trial(f"{mutant.family}: {mutant.name}", killed)
    return killed
