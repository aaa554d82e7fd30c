"""The statistical assertions and mutants of this process, counted. No torch here: the pytest plugin reads this module.

An assertion is counted when it is executed, passed or not, since each execution can raise a false alarm. The sum of
their levels bounds the false-alarm probability of a whole suite, under any dependence between them (union bound).
"""

from dataclasses import dataclass

ALPHA = 1e-9
"""The level of one assertion: a thousand of them keep a suite at 1e-6."""


@dataclass(frozen=True)
class Entry:
    """One executed statistical assertion: what was claimed of what, at which level, and how to run it again."""

    claim: str
    name: str
    alpha: float
    replay: str


@dataclass(frozen=True)
class Trial:
    """One mutant that was put to its check: whether the check rejected it."""

    mutant: str
    killed: bool


ENTRIES: list[Entry] = []
TRIALS: list[Trial] = []


def assertion(claim: str, name: str, alpha: float, replay: str) -> None:
    """Count a statistical assertion; every sampled check calls this once, before it draws.

    Raises:
        ValueError: `alpha` is no probability of an error, which would spoil the sum.
    """
    check_error("alpha", alpha)
    ENTRIES.append(Entry(claim, name, alpha, replay))


def check_error(name: str, probability: float) -> None:
    """Refuse what is no probability of an error.

    Raises:
        ValueError: it is not in (0, 1).
    """
    if not 0 < probability < 1:
        raise ValueError(f"{name} is the probability of an error, in (0, 1), not {probability}")


def trial(mutant: str, killed: bool) -> None:
    """Count a mutant that was put to its check."""
    TRIALS.append(Trial(mutant, killed))
