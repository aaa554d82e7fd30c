"""What keeps a state where nothing shows it yet: in lists and numbers, and in an estimator's own state."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.gradients import Estimator, Problem
from vae_fn.gradients.estimator import Estimate
from vae_fn.gradients.estimators import pathwise
from vae_fn.types import Params, Tree
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.estimators.unbiased import unbiased
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.problems import bernoulli_decoder
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.verdict import Verdict

X = torch.tensor([0.3, -1.2, 2.0])
SETTING = Setting(bernoulli_decoder(1), 2)


def _logging() -> Callable[[Tensor], Tensor]:
    """Appends to a list that it closes over."""
    log: list[str] = []

    def fn(x: Tensor) -> Tensor:
        log.append("called")
        return 2 * x

    return fn


def _counting() -> Callable[[Tensor], Tensor]:
    """Counts its calls, without a consequence."""
    calls = 0

    def fn(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return 2 * x

    return fn


def _later(factor: float) -> Estimator:
    """Pathwise gradients, times a factor from the second estimate on."""
    right = pathwise()

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        found = right.estimate(problem, params, noise, ())
        grads = tree.scale(found.grads, torch.where(state["count"] > 0, factor, 1.0))
        return found._replace(grads=grads, state={"count": state["count"] + 1})

    def init(problem: Problem, params: Params) -> Tree:
        del problem, params
        return {"count": torch.zeros(())}

    return right._replace(name="later", init=init, estimate=estimate, rule=None)


def _pure(fn: Callable[[Tensor], Tensor]) -> Verdict:
    return pure(fn, X, name="mutant")


def _at_the_last_state(estimator: Estimator) -> Verdict:
    return unbiased(estimator, [SETTING]).verdicts[-1]


def _at_the_first_state(estimator: Estimator) -> Verdict:
    return unbiased(estimator, [SETTING]).verdicts[0]


MUTANTS: tuple[Mutant, ...] = (
    Mutant("a list that grows", "function", "", lambda: _pure(_logging()), lambda: _pure(lambda x: 2 * x)),
    Mutant("a counter that nothing reads", "function", "", lambda: _pure(_counting()), lambda: _pure(lambda x: 2 * x)),
    Mutant(
        "state: 1 % more from the second estimate on",
        "estimator",
        "",
        wrong=lambda: _at_the_last_state(_later(1.01)),
        right=lambda: _at_the_last_state(_later(1.0)),
        blind=lambda: _at_the_first_state(_later(1.01)),
    ),
)
