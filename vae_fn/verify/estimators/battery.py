"""The checks that fit an estimator, and what they make of wrong versions of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.errors import check_kind, lacks_memory
from vae_fn.gradients import Estimator, Problem
from vae_fn.types import Params, Tree
from vae_fn.verify.estimators.contract import misshapen
from vae_fn.verify.estimators.identities import (
    derivative,
    every_sample,
    holds_density,
    per_example,
    pure_estimate,
    still,
)
from vae_fn.verify.estimators.mutations import mutations
from vae_fn.verify.estimators.settings import Setting, admits, attempt, battery, estimated, refusals
from vae_fn.verify.estimators.unbiased import MAKE_ONE, integrated, of_means
from vae_fn.verify.mutations.fates import Fate, fates
from vae_fn.verify.places import raised
from vae_fn.verify.problems import AVERAGES
from vae_fn.verify.report import Report, gather
from vae_fn.verify.seeds import key_of
from vae_fn.verify.verdict import Verdict

Check = Callable[[Estimator], Verdict]

TRIES = 4
"""Noises at which a mutant is compared with the original."""

NOT_COVERED = (
    "more than three samples or latents at once",
    "the gradient at parameters of a trained model",
    "float32, and whether it compiles: verify the step that uses it",
)


def estimator(subject: Estimator) -> Report:
    """Check all that fits an estimator: its mean, that it is pure, and what holds of it draw by draw.

    `derivative` and `still` are claimed of an estimator only where they hold at the first look: they then guard what
    they have seen, against mutants and at every sample.

    Returns:
        The report; what it refuses and what is out of reach is listed as not covered. Rejected is one that raises in
        every setting that the latents and the samples which it declares let in, or on every batch there: that is no
        refusal.

    Raises:
        TypeError: it is no `Estimator`.
    """
    check_kind("subject", subject, Estimator, MAKE_ONE)
    return gather(subject.name, of_estimator(subject))


def of_estimator(subject: Estimator, file: Path | None = None) -> Iterator[Verdict | str]:
    """What `estimator` finds, as it finds it; the file that defines the estimator, if it is known, is its own code."""
    if failed := [*never_runs(subject, file)]:
        yield from (*failed, "everything else, as it never runs")
        return
    if failed := [*misshapen(subject, battery(), file)]:
        yield from (*failed, "everything else: it needs the shapes")
        return
    yield from of_means(subject, battery())
    for check in identities(subject):
        yield check(subject)
    yield from (pure_estimate(subject, setting) for setting in _taken(subject)[:1])
    yield from NOT_COVERED


def never_runs(subject: Estimator, file: Path | None = None) -> Iterator[Verdict]:
    """The verdict on an estimator that raises wherever its declarations let it run, with the first error; else none."""
    first = None
    for setting in battery():
        if admits(subject, setting):
            try:
                attempt(subject, setting)
            except Exception as error:
                if lacks_memory(error):
                    raise
                first = first or f"{setting.name}: {raised(error, subject.rule, file)}"
            else:
                return
    if first is not None:
        detail = f"it raises in every setting that its latents and samples allow, first on {first}"
        yield Verdict("runs", subject.name, "deterministic", "rejected", detail)


def fates_of(subject: Estimator) -> Iterator[tuple[str, Fate]]:
    """The fates of wrong versions of an estimator under the checks that fit it, as they are known.

    Raises:
        ValueError: the original does not pass.
    """
    taken = _taken(subject)
    claimed = taken if subject.unbiased_for in AVERAGES else []
    few = [integrated(setting, subject) for setting in claimed if setting.known.discrete]
    many = [integrated(setting, subject) for setting in claimed if not setting.known.discrete]
    checks = [*few, *identities(subject), *many]

    calls = [call for setting in taken for call in _calls(subject, setting)]
    expected = [_numbers(subject, call) for call in calls]

    def same(mutant: Estimator) -> bool:
        found = (_numbers(mutant, call) for call in calls)
        return all(all(map(torch.equal, *pair)) for pair in zip(found, expected, strict=True))

    yield from fates(subject.name, subject, mutations(subject), checks, same)


def identities(subject: Estimator) -> list[Check]:
    """What holds of an estimator draw by draw, as checks of it or of a wrong version."""
    taken = _taken(subject)
    if not taken:
        return []
    first = taken[0]
    checks: list[Check] = [lambda mutant: per_example(mutant, first), lambda mutant: every_sample(mutant, first)]
    if derivative(subject, first).passed:
        checks.append(lambda mutant: derivative(mutant, first))
    if holds_density(subject):
        checks.append(still)
    return checks


def _taken(subject: Estimator) -> list[Setting]:
    settings = battery()
    reasons = refusals(subject, settings)
    return [setting for setting in settings if setting.name not in reasons]


def _calls(subject: Estimator, setting: Setting) -> list[tuple[Problem, Params, Tree, Tree]]:
    """Arguments of `estimate` at which a mutant is compared with the original: a batch, at several noises."""
    known = setting.known
    problem = known.pose(torch.stack([known.x, 1 - known.x]))
    specs, state = subject.noise_like(problem, known.params, setting.samples), subject.init(problem, known.params)
    keys = random.split(key_of(subject.name, known.params, "equivalent"), TRIES)
    return [(problem, known.params, random.draw(key, specs, torch.float64), state) for key in keys]


def _numbers(subject: Estimator, call: tuple[Problem, Params, Tree, Tree]) -> list[Tensor]:
    return tree.leaves(estimated(subject, *call))
