"""From names to the estimators that `vae-fn gradients` measures, each refusal in one line."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vae_fn import random, tree
from vae_fn.cli.given import subject_of
from vae_fn.cli.locate import Located, locate, reported
from vae_fn.cli.parse import UsageError, did_you_mean
from vae_fn.errors import UserError
from vae_fn.gradients.estimator import TARGETS
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.lab import Contender, contender
from vae_fn.lab.subject import Data, Subject, dtype_of
from vae_fn.run.places import Place


class Entered(NamedTuple):
    """Who is measured, and who is left out, each with a reason; and the files of the user's own."""

    contenders: list[Contender]
    left_out: list[str]
    files: list[Path | None]


def enter(place: Place, names: str, own: Sequence[str], samples: Sequence[int]) -> Entered:
    """The estimators of the catalogue and the user's own, at every number of samples.

    Args:
        place: the problem, which some may not take.
        names: of the catalogue, with commas between; or `all`, of which those that do not take it are left out.
        own: MODULE:OBJECT of each of the user's own.
        samples: K.

    Raises:
        UserError: one that is named does not exist or does not take the problem, or none is left.
    """
    asked = [*CATALOGUE] if names == "all" else named(names)
    contenders, left_out = [], []
    for name in asked:
        refused: dict[str, list[int]] = {}
        for k in samples:
            reason = refusal(contender(name, k), place)
            if reason is None:
                contenders.append(contender(name, k))
            else:
                refused.setdefault(reason, []).append(k)
        left_out += list(_told(name, refused, len(samples)))
    if names != "all" and left_out:
        raise UserError(left_out[0])
    located = [locate(target, "--estimator") for target in own]
    contenders += _own(place, located, samples, taken=asked)
    if not contenders:
        raise UserError(f"no estimator takes {place.posed.name} with these samples: {left_out[0]}")
    return Entered(contenders, left_out, [each.file for each in located])


def named(names: str) -> list[str]:
    """Names of the catalogue, of which each is there.

    Raises:
        UsageError: one is not, or none is given.
    """
    found = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not found:
        raise UsageError("--estimators takes names with commas between, or all: --list tells the names.")
    for name in found:
        if name not in CATALOGUE:
            raise UsageError(f"there is no estimator {name!r}.{did_you_mean(name, CATALOGUE)}")
    return found


def refusal(contender: Contender, place: Place) -> str | None:
    """Why an estimator does not take a problem, found on shapes alone; None if it does."""
    reason = _unfit(contender, place)
    if reason is None:
        try:
            _attempt(contender, place)
        except ValueError as fault:
            return str(fault)
    return reason


def _unfit(contender: Contender, place: Place) -> str | None:
    """Why it does not take the problem, by what it declares."""
    estimator, posed = contender.estimator, place.posed
    if estimator.importance_weighted and not place.binary:
        return "it weighs samples by p(x | z), which grey pixels do not have: train with --binarise dynamic or fixed"
    if estimator.importance_weighted and posed.pose(_one(place)).p is None:
        return "it raises a bound on log p(x), and a plain cost has none: use pathwise, rloo or another of E f"
    if contender.samples < estimator.min_samples:
        return f"it compares samples with each other: use --samples {estimator.min_samples} or more"
    return None


def _attempt(contender: Contender, place: Place) -> None:
    """One estimate, of shapes.

    Raises:
        ValueError: the estimator refuses the problem.
    """
    x, posed = _one(place), place.posed
    subject = Subject(contender, contender.posing(posed.pose, x, posed.params), posed.params)
    subject = subject.warmed_up(x, random.key(0), 0)
    specs = subject.specs(x)
    tree.shapes_of(lambda: subject.estimate(x, random.draw(random.key(0), specs, dtype_of(posed.params))))


def _one(place: Place) -> Data:
    return () if place.posed.data is None else place.posed.data[:1]


def _own(place: Place, own: Iterable[Located], samples: Sequence[int], taken: Sequence[str]) -> Iterator[Contender]:
    """The user's own, given the problem with everything sampled; one whose name is taken is called MODULE:OBJECT."""
    names = set(taken)
    for located in own:
        target, estimator = located.target, subject_of(located, "estimator", None).value
        check_claim(target, estimator.unbiased_for)
        name = target if estimator.name in names else estimator.name
        names.add(name)
        for k in samples:
            entrant = Contender(name, estimator, k)
            with reported(target, located.file):
                reason = _unfit(entrant, place)
                if reason is None:
                    _attempt(entrant, place)
            if reason is not None:
                raise UserError(f"{target}: {reason}")
            yield entrant


def check_claim(target: str, claim: str) -> None:
    """Hold what a user's estimator says of itself against what can be measured.

    Raises:
        UserError: it claims to be unbiased for what has no name here.
    """
    if claim not in TARGETS and not claim.startswith("nothing"):
        raise UserError(
            f"{target} says that it is unbiased for {claim!r}, which nothing can be held against: say "
            f"{' or '.join(map(repr, TARGETS))}, or 'nothing: ' and the reason"
        )


def _told(name: str, refused: dict[str, list[int]], count: int) -> Iterator[str]:
    """A line for each reason, with the samples where it is not one for all."""
    for reason, samples in refused.items():
        where = "" if len(samples) == count else f" with {', '.join(f'K = {k}' for k in samples)}"
        said = reason.removeprefix(f"{name} ")
        yield f"{name}{where}: {said}"
