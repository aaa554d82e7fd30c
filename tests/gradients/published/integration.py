"""Expectations of a problem over all values of its latents, and what its gradients are held against."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, func

from tests.models.toys import normal_line, normals
from vae_fn import tree
from vae_fn.gradients import Problem
from vae_fn.types import Params

Value = Callable[[Params], Tensor]


def log_weights(problem: Problem, params: Params, noise: Tensor) -> Tensor:
    """f + beta (log p - log q) at this noise, `(k, *batch)`."""
    return log_weights_at(problem, params, problem.q(params).sample(noise))


def log_weights_at(problem: Problem, params: Params, z: Tensor) -> Tensor:
    """f + beta (log p - log q) at these latents."""
    f = problem.f(params, z)
    if problem.p is None:
        return f
    return f + problem.beta * (problem.p(params).log_prob(z) - problem.q(params).log_prob(z))


def over_states(problem: Problem) -> Value:
    """The objective of discrete latents, by listing their values."""

    def value(params: Params) -> Tensor:
        q = problem.q(params)
        states = q.states()
        return (q.log_prob(states).exp() * log_weights_at(problem, params, states)).sum()

    return value


def over_line(problem: Problem, count: int = 49) -> Value:
    """The objective summed over the batch, by the trapezoid rule on the standard normal noise of each latent."""

    def value(params: Params) -> Tensor:
        q = problem.q(params)
        nodes, weights = normal_line(q.loc.shape[-1], count)
        noise = nodes.reshape(len(nodes), *[1] * (q.loc.ndim - 1), -1).expand(len(nodes), *q.loc.shape)
        return torch.tensordot(weights, log_weights(problem, params, noise), 1).sum()

    return value


def assert_gradient_of(
    value: Value, independent: Callable[[Params], float], params: Params, rtol: float = 1e-7
) -> None:
    """Values agree, and the gradient of one is the slope of the other in the direction of each leaf and of noise."""
    grads, at = func.grad_and_value(value)(params)
    expected = float(independent(params))
    np.testing.assert_allclose(at.item(), expected, rtol=1e-10, atol=1e-10)
    size = 1 + abs(expected) + max(leaf.abs().max().item() for leaf in tree.leaves(grads))
    for seed in range(3):
        direction = tree.map(lambda leaf, seed=seed: normals(seed, *leaf.shape), params)
        slope = sum((g * d).sum().item() for g, d in zip(tree.leaves(grads), tree.leaves(direction), strict=True))
        np.testing.assert_allclose(slope, slope_of(independent, params, direction), rtol=0, atol=rtol * size)


def slope_of(value: Callable[[Params], float], params: Params, direction: Params, step: float = 1e-3) -> float:
    """The derivative along a direction by differences, right to the fourth order in the step."""

    def at(steps: int) -> float:
        return float(value(tree.add(params, tree.scale(direction, steps * step))))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
