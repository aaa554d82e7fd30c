"""Wrong versions of an estimator, made of the estimator itself."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import batch_shape
from vae_fn.gradients import Coefficients, Estimator, Problem, from_coefficients
from vae_fn.gradients.estimator import Estimate
from vae_fn.types import Params, Tree


def mutations(estimator: Estimator) -> Iterator[tuple[str, Estimator]]:
    """Wrong versions of an estimator: of its coefficients where it has them, else of the gradients that it returns."""
    if estimator.rule is not None:
        yield from _of_rule(estimator)
    else:
        yield from _of_gradients(estimator)
    yield "value: twice", _with_result(estimator, lambda e: e._replace(value=2 * e.value))
    yield "value: log K more", _with_estimate(estimator, _log_samples_more)
    yield "noise: one draw for all K samples", share_noise(estimator, axis=0)
    yield "noise: one draw for the whole batch", share_noise(estimator, axis=1)
    yield "batch: mean for sum", average_batch(estimator)
    yield "scale: its square", _with_scale(estimator, lambda scale: scale**2)
    yield "scale: its square root", _with_scale(estimator, torch.sqrt)


def _of_rule(estimator: Estimator) -> Iterator[tuple[str, Estimator]]:
    """Each coefficient scaled, negated, zeroed, its average over K lost; a wire flipped on or off."""
    for wire in ("joint", "path", "density"):
        for what, change in _CHANGES.items():
            yield f"{wire}: {what}", _with_coefficients(estimator, wire, change)
    yield "path: flipped", _with_coefficients(estimator, "path", lambda path, k: 1 - path)
    yield "density: the joint's", _with_coefficients(estimator, "density", None)


_CHANGES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "1 % more": lambda coefficient, samples: 1.01 * coefficient,
    "negated": lambda coefficient, samples: -coefficient,
    "zeroed": lambda coefficient, samples: 0 * coefficient,
    "average over K lost": lambda coefficient, samples: samples * coefficient,
    "rolled over K": lambda coefficient, samples: coefficient.roll(1, 0),
}


def _of_gradients(estimator: Estimator) -> Iterator[tuple[str, Estimator]]:
    for what, factor in (("1 % more", 1.01), ("negated", -1.0), ("zeroed", 0.0)):
        yield f"gradient: {what}", _with_result(estimator, lambda e, f=factor: e._replace(grads=tree.scale(e.grads, f)))


def _with_coefficients(estimator: Estimator, wire: str, change: Callable[[Tensor, int], Tensor] | None) -> Estimator:
    original = estimator.rule
    assert original is not None

    def rule(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
        found = original(log_weights, beta)
        new = found.joint if change is None else change(getattr(found, wire), len(log_weights))
        return found._replace(**{wire: new})

    mutant = from_coefficients(
        estimator.name,
        rule,
        unbiased_for=estimator.unbiased_for,
        min_samples=estimator.min_samples,
        latents="any",
        importance_weighted=estimator.importance_weighted,
    )
    return mutant._replace(init=estimator.init)


def _with_estimate(estimator: Estimator, change: Callable[[Estimate, Tree], Estimate]) -> Estimator:
    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        return change(estimator.estimate(problem, params, noise, state), noise)

    return estimator._replace(estimate=estimate)


def _with_result(estimator: Estimator, change: Callable[[Estimate], Estimate]) -> Estimator:
    return _with_estimate(estimator, lambda estimate, noise: change(estimate))


def average_batch(estimator: Estimator) -> Estimator:
    """The gradient of the mean over the batch, where that of the sum is due."""
    return _with_result(estimator, lambda e: e._replace(grads=tree.scale(e.grads, 1 / max(1, e.value.numel()))))


def share_noise(estimator: Estimator, axis: int) -> Estimator:
    """The first entry along an axis for all: the samples in front, or after them the batch, if there is one."""

    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        there = axis == 0 or batch_shape(problem.q(params))
        shared = tree.map(lambda leaf: _first(leaf, axis), noise) if there else noise
        return estimator.estimate(problem, params, shared, state)

    return estimator._replace(estimate=estimate)


def _with_scale(estimator: Estimator, change: Callable[[Tensor], Tensor]) -> Estimator:
    def estimate(problem: Problem, params: Params, noise: Tree, state: Tree) -> Estimate:
        def q(params: Params) -> Any:
            found: Any = problem.q(params)
            return found._replace(scale=change(found.scale)) if hasattr(found, "scale") else found

        return estimator.estimate(problem._replace(q=q), params, noise, state)

    return estimator._replace(estimate=estimate)


def _first(leaf: Tensor, axis: int) -> Tensor:
    return leaf.narrow(axis, 0, 1).expand_as(leaf)


def _log_samples_more(estimate: Estimate, noise: Tree) -> Estimate:
    return estimate._replace(value=estimate.value + math.log(tree.leaves(noise)[0].shape[0]))
