"""Wrong baselines: of the step that they are used in, of the batch, and signals that are scaled."""

from torch import Tensor

from vae_fn import tree
from vae_fn.gradients import Coefficients, Estimator, Problem, from_coefficients
from vae_fn.gradients.estimator import Estimate
from vae_fn.gradients.estimators import nvil, reinforce, reinforce_moving_average, reinforce_optimal
from vae_fn.gradients.estimators.reinforce import reinforce_rule, scored
from vae_fn.gradients.wires import Rule
from vae_fn.optimization.optimizers import sgd
from vae_fn.types import Params, Tree
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.estimators.unbiased import integrated
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.problems import bernoulli_latents
from vae_fn.verify.verdict import Verdict

BITS = Setting(bernoulli_latents(2, beta=0.7), 2)


def later(estimator: Estimator) -> Estimator:
    """The estimator where some steps have been: every number of its state a half more, but for counts."""

    def init(problem: Problem, params: Params) -> Tree:
        first = estimator.init(problem, params)
        return tree.map(lambda leaf: leaf + 0.5 if leaf.is_floating_point() else leaf, first)

    return estimator._replace(init=init)


def used_at_once(estimator: Estimator) -> Estimator:
    """The state is advanced before it is used, so that a baseline has seen its own samples."""

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        return estimator.estimate(problem, params, noise, estimator.estimate(problem, params, noise, state).state)

    return estimator._replace(estimate=estimate)


DEVIATION = 1.3
"""Of the signal, in the steps before."""


def by_deviation(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
    """The signal divided by max(1, its running deviation)."""
    found = reinforce_rule(log_weights, beta)
    return found._replace(density=found.density / max(1.0, DEVIATION))


def batch_mean(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
    """The mean of the samples as their baseline, and no factor K / (K - 1)."""
    return scored(log_weights, log_weights.mean(0))


def _score(rule: Rule) -> Estimator:
    return from_coefficients("rule", rule, unbiased_for="the ELBO", latents="any")


def _check(estimator: Estimator) -> Verdict:
    return integrated(BITS, estimator)(estimator)


def _mutant(name: str, wrong: Estimator, right: Estimator, origin: str = "") -> Mutant:
    return Mutant(name, "estimator", origin, lambda: _check(wrong), lambda: _check(right))


def _at_once(estimator: Estimator, what: str) -> Mutant:
    right = later(estimator)
    return _mutant(f"{estimator.name}: {what}", used_at_once(right), right, "a baseline must not depend on its sample")


MUTANTS: tuple[Mutant, ...] = (
    _at_once(reinforce_moving_average(), "the mean of this step is in the baseline"),
    _at_once(nvil(optimizer=sgd(0.1)), "the network has learned from this step"),
    _at_once(reinforce_optimal(), "moments of this step are in the baseline"),
    _mutant("reinforce: mean of its own batch, unscaled", _score(batch_mean), reinforce()),
    _mutant(
        "nvil: signal divided by a running deviation",
        _score(by_deviation),
        reinforce(),
        "Mnih & Gregor (2014) scale the gradient so, which is then none of the ELBO",
    ),
)
