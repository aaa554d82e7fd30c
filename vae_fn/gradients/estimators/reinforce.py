"""REINFORCE: the score function, with baselines that are fixed before the samples are drawn.

With F = f + beta (log p - log q) the gradient of E F is the mean of

    d(f + beta log p)(z) + (F - b) dlog q(z)

for every b that does not depend on z, as E dlog q = 0; for the same reason the pull of the log q in F is left out.
Baselines are made of what earlier steps saw, which the estimator's state holds; the present samples enter the next
state alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, func

from vae_fn import tree
from vae_fn.distributions import Distribution, batch_shape
from vae_fn.gradients.coefficients import from_coefficients
from vae_fn.gradients.estimator import Estimate, Estimator
from vae_fn.gradients.estimators import perceptron
from vae_fn.gradients.estimators.baselines import (
    Running,
    check_decay,
    decayed,
    features,
    first_layer,
    follow,
    mean_of,
    nothing_seen,
    pull_beside,
    ratio,
    spread,
)
from vae_fn.gradients.estimators.layering import as_layers, as_noise
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Coefficients, pull, vjp
from vae_fn.models.objectives import PerSample
from vae_fn.optimization.optimizers import Optimizer, adam
from vae_fn.optimization.schedules import fixed
from vae_fn.types import Params, Tree


class LearnedBaseline(NamedTuple):
    """A network that predicts F, the state of its optimizer, and the running mean of what it misses."""

    network: Params
    optimizer: Tree
    missed: Running


class SecondMoments(NamedTuple):
    """Decaying sums over earlier steps, by layer and coordinate of q's tensors: of s**2 and of F s**2, s = dlog q."""

    squares: Tree
    weighted: Tree


def scored(log_weights: PerSample, baseline: Tensor) -> Coefficients:
    """1/K, 0, (w_k - b) / K."""
    share = torch.full_like(log_weights, 1 / log_weights.shape[0])
    return Coefficients(log_weights.mean(0), share, torch.zeros_like(share), (log_weights - baseline) * share)


def reinforce_rule(log_weights: PerSample, beta: float | Tensor) -> Coefficients:
    """1/K, 0, w_k / K."""
    return scored(log_weights, torch.zeros_like(log_weights))


def reinforce() -> Estimator:
    """The score function without a baseline (Williams 1992)."""
    return from_coefficients("reinforce", reinforce_rule, unbiased_for="the ELBO", latents="any")


def reinforce_moving_average(decay: float = 0.9) -> Estimator:
    """The score function with the running mean of F as its baseline (Williams 1992; Mnih & Gregor 2014).

    Args:
        decay: what a step keeps of the mean before it, in [0, 1).

    Raises:
        ValueError: the decay is out of its range.
    """
    check_decay(decay)

    def estimate(problem: Problem, params: Params, noise: Tree, state: Running) -> Estimate:
        baseline = mean_of(state)
        pulled = pull(problem, params, noise, lambda log_weights, beta: scored(log_weights, baseline))
        state = follow(state, pulled.info.log_weights.mean(), decay)
        return Estimate(pulled.value, pulled.grads, state, pulled.info)

    return _with_state("reinforce-moving-average", lambda problem, params: nothing_seen(params), estimate)


def nvil(decay: float = 0.9, *, optimizer: Optimizer | None = None, seed: int = 0) -> Estimator:
    """NVIL: the score function with a learned baseline and a running mean (Mnih & Gregor 2014, section 2.3).

    An estimator does not see the data, so the network reads q's tensors of each example; of layers those of the one
    that is drawn first. It descends (F - C(q) - c)**2, where c is the running mean of F - C(q). The division by a
    running standard deviation that the paper adds is left out: it scales the gradient.

    Args:
        decay: what a step keeps of c, in [0, 1).
        optimizer: of the network; Adam at 1e-3 unless another is given.
        seed: of the network's first weights.

    Raises:
        ValueError: the decay is out of its range.
    """
    check_decay(decay)
    descent = optimizer or adam(fixed(1e-3))

    def init(problem: Problem, params: Params) -> LearnedBaseline:
        seen = tree.shapes_of(lambda params: features(first_layer(problem.q(params))), params)
        like = tree.leaves(params)[0]
        network = tree.map(lambda leaf: leaf.to(like), perceptron.perceptron(seed, seen.shape[-1]))
        return LearnedBaseline(network, descent.init(network), nothing_seen(params))

    def estimate(problem: Problem, params: Params, noise: Tree, state: LearnedBaseline) -> Estimate:
        q, pull_q = vjp(problem.q, params)
        seen, centre = features(first_layer(q)), mean_of(state.missed)
        predicted = perceptron.apply(state.network, seen)
        pulled, q_grads = pull_beside(problem, params, q, noise, lambda w, beta: scored(w, predicted + centre))
        log_weights = pulled.info.log_weights

        slope = func.grad(squared_error)(state.network, seen, log_weights - centre)
        network, moments = descent.update(slope, state.optimizer, state.network)
        missed = follow(state.missed, (log_weights - predicted).mean(), decay)
        grads = tree.add(pulled.grads, *pull_q(q_grads))
        return Estimate(pulled.value, grads, LearnedBaseline(network, moments, missed), pulled.info)

    return _with_state("nvil", init, estimate)


def squared_error(network: Params, seen: Tensor, target: PerSample) -> Tensor:
    """What the learned baseline descends: the mean over samples and examples of (F - C(q) - c)**2."""
    return ((target - perceptron.apply(network, seen)) ** 2).mean()


def reinforce_optimal(decay: float = 0.9) -> Estimator:
    """The score function with the best constant baseline of each coordinate of q's tensors (Ranganath et al. 2014).

    Of (F - b) s the variance is least at b = E[F s**2] / E[s**2], where s is the coordinate's score. Both moments are
    running means of earlier steps, over samples and examples; before the first step b is 0.

    Args:
        decay: what a step keeps of the moments before it, in [0, 1).

    Raises:
        ValueError: the decay is out of its range.
    """
    check_decay(decay)

    def init(problem: Problem, params: Params) -> SecondMoments:
        shapes = tree.shapes_of(lambda params: _events(problem.q(params)), params)
        zeros = [tree.map(lambda leaf: torch.zeros(leaf.shape).to(leaf.device, leaf.dtype), shapes) for _ in range(2)]
        return SecondMoments(*zeros)

    def estimate(problem: Problem, params: Params, noise: Tree, state: SecondMoments) -> Estimate:
        q, pull_q = vjp(problem.q, params)
        pulled, q_grads = pull_beside(problem, params, q, noise, lambda w, beta: scored(w, w))
        value, z = pulled.info.log_weights, q.sample(noise)
        scores = layer_scores(q, z, noise, value)
        baselines = tree.map(ratio, state.weighted, state.squares)
        signals = tree.map(lambda s, b: (_over(value, s) - b) * s / len(value), scores, baselines)

        def along(live: Distribution) -> Tensor:
            products = tree.map(lambda signal, leaf: (signal * leaf).sum(), signals, _families(live, z))
            return sum(tree.leaves(products), start=value.new_zeros(()))

        grads = tree.add(pulled.grads, *pull_q(tree.add(q_grads, func.grad(along)(q))))
        return Estimate(pulled.value, grads, follow_moments(state, scores, value, decay), pulled.info)

    return _with_state("reinforce-optimal", init, estimate)


def layer_scores(q: Distribution, z: Tree, noise: Tree, like: PerSample) -> tuple:
    """The score of every coordinate of each layer's tensors, `(k, *batch, *event)`, for log q at each sample."""
    parts = zip(_families(q, z), as_noise(q, noise), as_noise(q, z), strict=True)

    def score(family: Any, noise: Tensor, z: Tensor) -> Any:
        return func.grad(lambda family: family.log_prob_from_noise(noise, z).sum())(spread(family, tuple(like.shape)))

    return tuple(score(*part) for part in parts)


def follow_moments(state: SecondMoments, scores: tuple, value: PerSample, decay: float) -> SecondMoments:
    """The next moments: the present ones averaged over samples and examples, and those before."""

    def mean(leaf: Tensor) -> Tensor:
        return leaf.flatten(0, value.ndim - 1).mean(0)

    squares = tree.map(lambda old, s: decayed(old, mean(s**2), decay), state.squares, scores)
    weighted = tree.map(lambda old, s: decayed(old, mean(_over(value, s) * s**2), decay), state.weighted, scores)
    return SecondMoments(squares, weighted)


def _families(q: Distribution, z: Tree) -> tuple:
    return tuple(as_layers(q).layers(as_noise(q, z)))


def _events(q: Distribution) -> tuple:
    """The tensors of each layer for one sample of one example."""
    batch = batch_shape(q)
    noise = tree.map(lambda spec: tree.leaves(q)[0].new_zeros(spec.shape), q.noise_like((1,)))
    families = _families(q, q.sample(noise))
    return tuple(
        tree.map(lambda leaf: leaf.flatten(0, len(batch))[0], spread(family, (1, *batch))) for family in families
    )


def _over(value: PerSample, leaf: Tensor) -> Tensor:
    return value.reshape(*value.shape, *(1,) * (leaf.ndim - value.ndim))


def _with_state(name: str, init: Callable, estimate: Callable) -> Estimator:
    return reinforce()._replace(name=name, init=init, estimate=estimate, rule=None)
