"""What is measured: an estimator, its number of samples, and the form of the problem that it is given."""

from collections.abc import Callable
from typing import Any, NamedTuple

from vae_fn import tree
from vae_fn.distributions import has_closed_form
from vae_fn.gradients.estimator import TARGETS, Estimator
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.gradients.problem import Problem
from vae_fn.models.objectives import penalty
from vae_fn.types import Params


class Contender(NamedTuple):
    """An estimator as it is measured.

    Attributes:
        name: as in tables.
        estimator: of the gradient.
        samples: K.
        closed_kl: whether it is given the problem with the KL in closed form, where that exists.
    """

    name: str
    estimator: Estimator
    samples: int = 1
    closed_kl: bool = False

    def posing(self, pose: Callable[[Any], Problem], x: Any, params: Params) -> Callable[[Any], Problem]:
        """How it is given a problem; `pose(x)` is looked at once, by its shapes."""
        return _with_closed_kl(pose) if self.closed_kl and has_closed_kl(pose(x), params) else pose

    @property
    def target(self) -> str:
        """What its mean is held against: what it is unbiased for, else the one of the two that it means."""
        if self.estimator.unbiased_for in TARGETS:
            return self.estimator.unbiased_for
        return TARGETS[self.estimator.importance_weighted]


def contender(name: str, samples: int = 1) -> Contender:
    """An estimator of the catalogue with its default settings.

    Raises:
        KeyError: there is none of this name.
    """
    entry = CATALOGUE[name]
    return Contender(name, entry.make(), samples, entry.closed_kl)


def has_closed_kl(problem: Problem, params: Params) -> bool:
    """Whether a problem has a sampled KL that has a closed form."""
    prior = problem.p
    if prior is None or problem.exact is not None:
        return False
    return has_closed_form(*tree.shapes_of(lambda params: (problem.q(params), prior(params)), params))


def with_closed_kl(problem: Problem) -> Problem:
    """The problem with its sampled KL in closed form.

    Raises:
        ValueError: it has no prior to sample a KL with.
    """
    prior = problem.p
    if prior is None:
        raise ValueError("this problem has no sampled KL: pose it with a prior")
    return Problem(problem.q, problem.f, exact=lambda params, q: -penalty(q, prior(params), problem.beta))


def _with_closed_kl(pose: Callable[[Any], Problem]) -> Callable[[Any], Problem]:
    return lambda x: with_closed_kl(pose(x))
