"""Antithetic pairs of bits, from one uniform number each: what ARM and DisARM have in common.

A bit b = 1[u > 1 - p] and its antithetic one b~ = 1[u < p] have the same law. All bits of a layer are flipped together.
Of layers drawn one after the other, each is paired given the ones before it, and the layers after a flipped one are
drawn anew: layers + 1 evaluations of f for a sample (Dong et al. 2020).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Bernoulli, Distribution
from vae_fn.distributions.layered import Values
from vae_fn.gradients.estimator import Estimator, Evaluations, stateless
from vae_fn.gradients.estimators.layering import as_layers, as_noise, as_value, check_layers, drawn, jumps
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import Seen, pull_held
from vae_fn.gradients.wires import Pulled
from vae_fn.types import Params, Tree

Scores = Callable[[Float[Tensor, "*#b d"], Float[Tensor, "*#b d"], Float[Tensor, "*#b d"]], Float[Tensor, "*#b d"]]
"""`scores(theta, u, b - b~)`: what multiplies f(b) - f(b~) in the gradient of the logits theta, by bit."""


def from_pairs(name: str, scores: Scores) -> Estimator:
    """The estimator whose gradient in the logits of a layer is the mean of (f(b) - f(b~)) times its scores.

    Raises:
        ValueError: from `noise_like` and `estimate`, for a layer of latents that are not bits.
    """

    def pull(problem: Problem, params: Params, noise: Tree) -> Pulled:
        return pull_pairs(name, scores, problem, params, noise)

    def noise_like(q: Distribution, samples: int) -> Tree:
        _check(name, q)
        return _arranged(q, as_noise(q, q.noise_like((samples,))))

    return stateless(
        name,
        pull,
        unbiased_for="the ELBO",
        latents="discrete",
        noise_like=noise_like,
        evaluations=lambda q, samples: Evaluations(*[samples * (1 + len(as_layers(q).order))] * 2),
        breaks=lambda q, samples: _arranged(q, tuple(at.expand(samples, *at.shape) for at in jumps(q))),
    )


def pull_pairs(name: str, scores: Scores, problem: Problem, params: Params, noise: Tree) -> Pulled:
    """Value and gradient of the ELBO: over the samples, and for each layer those in which its bits are flipped."""

    def draw(q: Distribution) -> Tree:
        _check(name, q)
        return tree.map(lambda *leaves: torch.cat(leaves), *(as_value(q, path) for path in _paths(q, noise)))

    def through_q(live: Distribution, q: Distribution, z: Tree, seen: Seen) -> Tensor:
        main, *flipped = _paths(q, noise)
        uniform = as_noise(q, noise["value"])
        value, *others = seen.log_weights.chunk(1 + len(flipped))
        held, free, total = as_layers(q).layers(main), as_layers(live).layers(main), torch.zeros_like(value[0])
        for index, path, other in zip(as_layers(q).order, flipped, others, strict=True):
            score = scores(held[index].logits, uniform[index], main[index] - path[index])
            total = total + ((value - other).unsqueeze(-1) * score * free[index].logits).sum(-1).mean(0)
        return total

    return pull_held(problem, params, draw, through_q)


def _paths(q: Distribution, noise: Tree) -> list[Values]:
    """The sample; and for each layer in order of drawing the one in which it is flipped, and later ones are new."""
    layered, uniform = as_layers(q), as_noise(q, noise["value"])
    main = drawn(layered, lambda index, family: family.sample(uniform[index]))

    def flipped(place: int) -> Values:
        at, anew = layered.order[place], noise["anew"][place]

        def draw(index: int, family: Bernoulli) -> Tensor:
            if index in layered.order[:place]:
                return main[index]
            return family.sample(1 - uniform[index] if index == at else anew[index])

        return drawn(layered, draw)

    return [main, *(flipped(place) for place in range(len(layered.order)))]


def _arranged(q: Distribution, layers: tuple) -> Tree:
    """What there is of each layer: of the sample, and for each flipped layer of those after it, () for the others."""
    order = as_layers(q).order
    anew = [[spec if i in order[place + 1 :] else () for i, spec in enumerate(layers)] for place in range(len(order))]
    return {"value": as_value(q, layers), "anew": tuple(map(tuple, anew))}


def _check(name: str, q: Distribution) -> None:
    check_layers(name, q, Bernoulli, "it pairs bits, use rloo or relax")
