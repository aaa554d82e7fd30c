"""What a check found, and the errors that say it. No torch here: the pytest plugin reads this module."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["passed", "biased", "rejected", "inconclusive", "underpowered"]
Tier = Literal["exact", "bounded", "sampled", "deterministic"]


class VerificationError(AssertionError):
    """A check that did not pass; `verdict` says what it saw."""

    def __init__(self, verdict: "Verdict"):
        """Keep the verdict, and say it."""
        super().__init__(str(verdict))
        self.verdict = verdict


class Rejected(VerificationError):
    """The claim is false."""


class Biased(Rejected):
    """The claim about an expected value is false."""


class Inconclusive(VerificationError):
    """The check can say nothing about this claim: a fault of its set-up, never a pass."""


class Underpowered(VerificationError):
    """The asked resolution was not reached, or would take too many draws."""


ERRORS: dict[Status, type[VerificationError]] = {
    "biased": Biased,
    "rejected": Rejected,
    "inconclusive": Inconclusive,
    "underpowered": Underpowered,
}


@dataclass(frozen=True)
class Verdict:
    """What one check found.

    Attributes:
        claim: what was claimed, as in `mean`, `parity`, `pure`.
        name: of what.
        tier: `exact` (integrated), `bounded` (sampled, level exact at every n), `sampled`, or `deterministic`.
        status: `passed`; `biased` or `rejected` (the claim is false), `inconclusive`, `underpowered`.
        detail: one sentence of what was seen.
        gap: the largest discrepancy seen, in the unit of what is checked.
        resolvable: the discrepancy that this run would have caught, in the same unit; None where that has no meaning.
        coordinate: where the gap is, as in `encoder/0.weight[3, 1]`.
        draws: how many draws, or nodes of an integral, were used.
        stage: how many stages on fresh draws were run.
        statistic: the test statistic at the gap.
        tail: Pareto shape of the heaviest tail seen; above 1/2 the variance need not exist.
        alpha: the probability of rejecting a true claim, 0 where nothing is random.
        seconds: how long it took.
        replay: the line that repeats this run bit for bit, for what is random.
    """

    claim: str
    name: str
    tier: Tier
    status: Status
    detail: str
    gap: float = math.nan
    resolvable: float | None = None
    coordinate: str | None = None
    draws: int = 0
    stage: int = 0
    statistic: float | None = None
    tail: float | None = None
    alpha: float = 0.0
    seconds: float = 0.0
    replay: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the claim stands."""
        return self.status == "passed"

    def __bool__(self) -> bool:
        """As `passed`: `assert verify.pure(fn, x)` is a test, too."""
        return self.passed

    def check(self) -> "Verdict":
        """The verdict itself if it passed.

        Raises:
            Biased: an expected value is another than claimed.
            Rejected: another claim is false.
            Inconclusive: nothing can be said.
            Underpowered: the asked resolution was not reached.
        """
        if self.passed:
            return self
        raise ERRORS[self.status](self)

    def named(self, name: str) -> "Verdict":
        """The same verdict about something of another name."""
        return replace(self, name=name)

    def __str__(self) -> str:
        head = f"{self.claim} of {self.name}: {self.status} ({self.tier}): {self.detail}"
        return head if self.passed or self.replay is None else f"{head}\nreplay: {self.replay}"


def worst(verdicts: Iterable[Verdict]) -> Status:
    """The status of several verdicts together: a false claim outweighs one that could not be checked."""
    found = {verdict.status for verdict in verdicts}
    order: tuple[Status, ...] = ("biased", "rejected", "inconclusive", "underpowered")
    for status in order:
        if status in found:
            return status
    return "passed"
