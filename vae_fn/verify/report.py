"""Several checks of one thing: their verdicts, and what they did not cover."""

from collections.abc import Iterable
from dataclasses import dataclass

from tabulate import tabulate

from vae_fn.verify.verdict import ERRORS, Inconclusive, Status, Verdict, worst

HEAD = ("check", "on", "tier", "verdict", "resolves", "draws", "ms")


@dataclass(frozen=True)
class Report:
    """What a battery of checks found.

    Attributes:
        name: of what was checked.
        verdicts: in the order of the checks.
        not_covered: what was not looked at, a sentence each.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    not_covered: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The gravest of all; `inconclusive` where no check applied."""
        return worst(self.verdicts) if self.verdicts else "inconclusive"

    @property
    def passed(self) -> bool:
        """Whether every claim stands."""
        return self.status == "passed"

    def __bool__(self) -> bool:
        """As `passed`."""
        return self.passed

    def check(self) -> "Report":
        """The report itself if every claim stands.

        Raises:
            VerificationError: the one of the first verdict that is as grave as the gravest; `Inconclusive` where no
                check applied.
        """
        if self.passed:
            return self
        if not self.verdicts:
            nothing = Verdict("battery", self.name, "deterministic", "inconclusive", "no check applies to it")
            raise Inconclusive(nothing)
        raise ERRORS[self.status](next(verdict for verdict in self.verdicts if verdict.status == self.status))

    def rows(self) -> list[tuple[str, ...]]:
        """A row of words for every verdict, under `HEAD`."""
        return [_row(verdict, self.name) for verdict in self.verdicts]

    def __str__(self) -> str:
        table = tabulate(self.rows(), headers=HEAD, disable_numparse=True, colalign=("left",) * 4 + ("right",) * 3)
        failed = [str(verdict) for verdict in self.verdicts if not verdict.passed]
        missing = [f"not covered: {sentence}" for sentence in self.not_covered]
        return "\n".join([self.name, table, *failed, *missing])


def gather(name: str, findings: Iterable[Verdict | str]) -> Report:
    """The report of what a battery finds one after the other: verdicts, and sentences about what is not covered."""
    found = list(findings)
    verdicts = tuple(finding for finding in found if isinstance(finding, Verdict))
    return Report(name, verdicts, tuple(finding for finding in found if isinstance(finding, str)))


def _row(verdict: Verdict, name: str) -> tuple[str, ...]:
    on = verdict.name.removeprefix(name).strip().removeprefix("on ")
    resolves = "" if verdict.resolvable is None else f"{verdict.resolvable:.2g}"
    draws = f"{verdict.draws}" if verdict.draws else ""
    return verdict.claim, on, verdict.tier, verdict.status, resolves, draws, f"{1000 * verdict.seconds:.0f}"
