"""What becomes of wrong versions of an object under the checks that the object itself passes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

from vae_fn.verify.report import Report
from vae_fn.verify.verdict import Status, Verdict

Fate = Literal["killed", "survived", "undecided", "equivalent"]
Object = TypeVar("Object")


class Mutated(NamedTuple):
    """What became of the wrong versions of something, by name.

    Attributes:
        killed: those that a check rejects.
        survived: those that pass: a fault of this kind would not be noticed.
        undecided: those that no check rejects and one cannot judge, or raises at: a fault that is seen, and not told.
        equivalent: those that give the same numbers as the original, which no check could tell from it.
    """

    killed: tuple[str, ...]
    survived: tuple[str, ...]
    undecided: tuple[str, ...]
    equivalent: tuple[str, ...]

    @property
    def headline(self) -> str:
        """How many were killed."""
        wrong = len(self.killed) + len(self.survived) + len(self.undecided)
        return f"mutants: {len(self.killed)} of {wrong} killed, {len(self.equivalent)} equivalent"

    def __str__(self) -> str:
        named = [f"  {fate}: {name}" for fate in self._fields[1:] for name in getattr(self, fate)]
        return "\n".join([self.headline, *named])


def fates(
    name: str,
    original: Object,
    mutants: Iterable[tuple[str, Object]],
    checks: Iterable[Callable[[Object], Verdict | Report]],
    same: Callable[[Object], bool],
) -> Iterator[tuple[str, Fate]]:
    """The fate of each mutant, as it is known.

    Args:
        name: of the original, for errors.
        original: what the mutants are made of.
        mutants: wrong versions with their names.
        checks: of the original or of a mutant, one claim or several, the cheapest first.
        same: whether a mutant gives the numbers of the original.

    Raises:
        ValueError: the original does not pass, or there are no checks, so that nothing can be said of its mutants.
    """
    checks = list(checks)
    if not checks or not all(check(original).passed for check in checks):
        raise ValueError(f"{name} does not pass its own checks: mend that before you mutate it")
    for what, mutant in mutants:
        yield what, "equivalent" if _holds(same, mutant) else _fate(mutant, checks)


def _fate(mutant: Object, checks: Sequence[Callable[[Object], Verdict | Report]]) -> Fate:
    fate: Fate = "survived"
    for check in checks:
        status = _status(check, mutant)
        if status in ("biased", "rejected"):
            return "killed"
        fate = fate if status == "passed" else "undecided"
    return fate


def _status(check: Callable[[Object], Verdict | Report], mutant: Object) -> Status:
    try:
        return check(mutant).status
    except Exception:  # a mutant may break any promise
        return "inconclusive"


def _holds(same: Callable[[Object], bool], mutant: Object) -> bool:
    try:
        return same(mutant)
    except Exception:  # as above
        return False


def collect(found: Iterable[tuple[str, Fate]]) -> Mutated:
    """Fates, sorted."""
    named = list(found)
    return Mutated(*(tuple(name for name, fate in named if fate == kind) for kind in Mutated._fields))
