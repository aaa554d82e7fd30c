"""What becomes of wrong versions of an object under the checks that the object itself passes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeVar

from vae_fn.verify.verdict import Verdict

Fate = Literal["killed", "survived", "equivalent"]
Object = TypeVar("Object")


class Mutated(NamedTuple):
    """What became of the wrong versions of something, by name.

    Attributes:
        killed: those that a check rejects.
        survived: those that pass: a fault of this kind would not be noticed.
        equivalent: those that give the same numbers as the original, which no check could tell from it.
    """

    killed: tuple[str, ...]
    survived: tuple[str, ...]
    equivalent: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.killed) + len(self.survived)
        head = f"mutants: {len(self.killed)} of {total} killed, {len(self.equivalent)} equivalent"
        named = [f"  {kind}: {name}" for kind in ("survived", "equivalent") for name in getattr(self, kind)]
        return "\n".join([head, *named])


def fates(
    name: str,
    original: Object,
    mutants: Iterable[tuple[str, Object]],
    checks: Iterable[Callable[[Object], Verdict]],
    same: Callable[[Object], bool],
) -> Iterator[tuple[str, Fate]]:
    """The fate of each mutant, as it is known.

    Args:
        name: of the original, for errors.
        original: what the mutants are made of.
        mutants: wrong versions with their names.
        checks: of the original or of a mutant, the cheapest first.
        same: whether a mutant gives the numbers of the original.

    Raises:
        ValueError: the original does not pass, or there are no checks, so that nothing can be said of its mutants.
    """
    checks = list(checks)
    if not checks or not all(check(original).passed for check in checks):
        raise ValueError(f"{name} does not pass its own checks: mend that before you mutate it")
    for what, mutant in mutants:
        if same(mutant):
            yield what, "equivalent"
        else:
            noticed = any(check(mutant).status in ("biased", "rejected") for check in checks)
            yield what, "killed" if noticed else "survived"


def collect(found: Iterable[tuple[str, Fate]]) -> Mutated:
    """Fates, sorted."""
    named = list(found)
    return Mutated(*(tuple(name for name, fate in named if fate == kind) for kind in Mutated._fields))
