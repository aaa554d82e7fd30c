"""Values and gradients of what is averaged over q, from its log-weights at nodes, in bounded memory.

A target is a function of the log-weights at N nodes and of the weights of these nodes. The nodes are visited twice: for
their log-weights, from which the target and its derivatives in each follow, and to pull these derivatives back into the
parameters, some nodes at a time. q is evaluated once, and differentiated once.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Distribution, batch_shape
from vae_fn.gradients.oracles.exact import Computation
from vae_fn.gradients.oracles.nodes import dimensions
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import log_joint, log_weights_of, vjp
from vae_fn.random import Noise
from vae_fn.types import Params, Tree

PerNode = Float64[Tensor, " n *b"]

Rows = slice | Int64[Tensor, " r"]
"""Some of the nodes."""

EVALUATIONS = 2**12
"""Nodes times examples at a time."""


class Support(NamedTuple):
    """The nodes that stand for q.

    Attributes:
        nodes: how many there are.
        at: `at(q, rows)` gives of some of them z `(n, *b, *event)`, log q there and the weights, both `(n, *b)`; a
            differentiable function of q. The weights of all nodes sum to 1.
        log_mean: `log_mean(samples, level)` gives the K-sample bound, where it is not that of independent nodes.
    """

    nodes: int
    at: Callable[[Distribution, Rows], tuple[Tree, PerNode, PerNode]]
    log_mean: "Callable[[int | float, int], Target] | None" = None


class Averaged(NamedTuple):
    """A target `(*b)` in nats, and its derivatives `(n, *b)` in the log-weights and in the weights of the nodes.

    What the target itself leaves out is bounded by `lost`.
    """

    value: Float64[Tensor, "*b"]
    by_log_weight: PerNode
    by_weight: PerNode
    lost: float = 0.0


Target = Callable[[PerNode, PerNode], Averaged]
"""Of log-weights and weights of nodes."""


def mean(log_weights: PerNode, weights: PerNode) -> Averaged:
    """E log w: the ELBO."""
    return Averaged((weights * log_weights).sum(0), weights, log_weights)


def one_event(q: Distribution) -> Tree:
    """The noise of one example."""
    ndim = len(batch_shape(q))
    return tree.map(lambda spec: Noise(spec.law, spec.shape[ndim:]), q.noise_like())


def latents(q: Distribution) -> int:
    """How many latents an example has."""
    return dimensions(one_event(q))


def log_weights_at(problem: Problem, params: Params, z: Tree, log_q: PerNode) -> PerNode:
    """The log-weights f + beta (log p - log q) at nodes."""
    return log_weights_of(log_joint(problem, params, z)[0], log_q, problem.beta)


def table(problem: Problem, params: Params, support: Support) -> tuple[PerNode, PerNode]:
    """The log-weights and the weights of all nodes."""
    q = double(problem.q(params))
    found = [_weigh(problem, params, q, support, rows) for rows in _chunks(support, _size(q))]
    log_w, weights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return log_w, weights


def integrate(problem: Problem, params: Params, support: Support, target: Target) -> Computation:
    """The target with the problem's exact part, `(*b)`, and the gradient of its sum over the batch.

    Raises:
        ValueError: the problem is not in float64.
    """
    averaged = target(*table(problem, params, support))
    slopes = (averaged.by_log_weight, averaged.by_weight)
    grads = pull(problem, params, support, slopes, lambda *at: _weigh(problem, *at))
    if problem.exact is None:
        return Computation(averaged.value, grads, averaged.lost)
    exact, pull_exact = vjp(lambda params: problem.exact(params, problem.q(params)), params)  # type: ignore[misc]
    grads = tree.add(grads, *pull_exact(torch.ones_like(exact)))
    return Computation(averaged.value + exact, grads, averaged.lost)


def pull(
    problem: Problem,
    params: Params,
    support: Support,
    slopes: tuple[PerNode, PerNode],
    quantities: Callable[[Params, Distribution, Support, Rows], tuple[PerNode, PerNode]],
) -> Params:
    """The gradient of the sum over nodes of two quantities times these slopes; q and parameters move apart."""
    q, pull_q = vjp(problem.q, params)
    grads, q_grads = tree.zeros_like(params), tree.zeros_like(q)
    for rows in _pulled(slopes, _size(q)):
        _, pull_rows = vjp(lambda params, q: quantities(params, q, support, rows), params, q)  # noqa: B023
        by_params, by_q = pull_rows(tuple(slope[rows] for slope in slopes))
        grads, q_grads = tree.add(grads, by_params), tree.add(q_grads, by_q)
    return tree.add(grads, *pull_q(q_grads))


def double(q: Distribution) -> Distribution:
    """Q itself.

    Raises:
        ValueError: it is not in float64.
    """
    for leaf in tree.leaves(q):
        if leaf.is_floating_point() and leaf.dtype != torch.float64:
            raise ValueError(
                f"oracles compute in float64, not {leaf.dtype}: pose the problem on float64 data and params"
            )
    return q


def _weigh(problem: Problem, params: Params, q: Distribution, support: Support, rows: Rows) -> tuple[PerNode, PerNode]:
    z, log_q, weights = support.at(q, rows)
    return log_weights_at(problem, params, z, log_q), weights


def _size(q: Distribution) -> int:
    """How many nodes are taken at a time."""
    return max(1, EVALUATIONS // max(1, math.prod(batch_shape(q))))


def _chunks(support: Support, size: int) -> Iterator[Rows]:
    return (slice(start, min(start + size, support.nodes)) for start in range(0, support.nodes, size))


def _pulled(slopes: tuple[PerNode, PerNode], size: int) -> Iterator[Rows]:
    """The nodes at which something is pulled: not those at which all slopes are zero."""
    any_slope = torch.stack([slope.reshape(len(slope), -1).any(1) for slope in slopes]).any(0)
    return iter(any_slope.nonzero().squeeze(1).split(size))
