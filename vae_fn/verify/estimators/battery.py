"""The checks that fit an estimator, and what they make of wrong versions of it."""

from collections.abc import Callable, Iterator

import torch

from vae_fn import random, tree
from vae_fn.gradients import Estimator
from vae_fn.verify.estimators.identities import derivative, every_sample, holds_density, per_example, still
from vae_fn.verify.estimators.mutations import mutations
from vae_fn.verify.estimators.settings import Setting, battery, refusals
from vae_fn.verify.estimators.unbiased import integrated, of_means
from vae_fn.verify.mutations.fates import Fate, Mutated, collect, fates
from vae_fn.verify.problems import AVERAGES
from vae_fn.verify.report import Report, gather
from vae_fn.verify.seeds import key_of
from vae_fn.verify.verdict import Verdict

Check = Callable[[Estimator], Verdict]

TRIES = 4
"""Noises at which a mutant is compared with the original."""

NOT_COVERED = ("more than three samples or latents at once", "the gradient at parameters of a trained model")


def estimator(subject: Estimator) -> Report:
    """Check all that fits an estimator: its mean, and what holds of it draw by draw.

    `derivative` and `still` are claimed of an estimator only where they hold at the first look: they then guard what
    they have seen, against mutants and at every sample.

    Returns:
        The report; what it refuses and what is out of reach is listed as not covered.
    """
    return gather(subject.name, of_estimator(subject))


def of_estimator(subject: Estimator) -> Iterator[Verdict | str]:
    """What `estimator` finds, as it finds it."""
    yield from of_means(subject, battery())
    for check in identities(subject):
        yield check(subject)
    yield from NOT_COVERED


def mutate(subject: Estimator) -> Mutated:
    """Run the checks that fit an estimator on wrong versions of it.

    Raises:
        ValueError: the original does not pass, so that nothing can be said of its mutants.
    """
    return collect(fates_of(subject))


def fates_of(subject: Estimator) -> Iterator[tuple[str, Fate]]:
    """What `mutate` finds, as it finds it."""
    taken = _taken(subject)
    means = [integrated(setting, subject) for setting in taken] if subject.unbiased_for in AVERAGES else []
    checks = [*identities(subject), *means]

    def same(mutant: Estimator) -> bool:
        return _same_numbers(mutant, subject, taken)

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


def _same_numbers(mutant: Estimator, original: Estimator, settings: list[Setting]) -> bool:
    """Whether two estimators agree at every noise that is tried, for a batch on every setting."""
    for setting in settings:
        known, samples = setting.known, setting.samples
        problem = known.pose(torch.stack([known.x, 1 - known.x]))
        specs, state = original.noise_like(problem, known.params, samples), original.init(problem, known.params)
        for key in random.split(key_of(original.name, known.params, "equivalent"), TRIES):
            noise = random.draw(key, specs, torch.float64)
            found = [one.estimate(problem, known.params, noise, state) for one in (mutant, original)]
            one, other = (tree.leaves((estimate.value, estimate.grads)) for estimate in found)
            if not all(map(torch.equal, one, other)):
                return False
    return True
