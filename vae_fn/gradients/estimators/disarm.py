"""DisARM, or U2G: the antithetic pair of ARM, averaged over what it does not need (Dong et al. 2020; Yin et al. 2020).

A bit b = 1[u > 1 - p] and its antithetic b~ = 1[u < p] come from one uniform number. With theta the logit and
p = sigmoid(theta), the gradient of E f(b) in theta is the mean of

    1/2 (f(b) - f(b~)) (-1)**b~ 1[b != b~] sigmoid(|theta|),

for every bit of a layer at once. Of layers drawn one after the other, each is paired given the ones before it, and the
layers after a flipped one are drawn anew: layers + 1 evaluations of f for a sample (Dong et al. 2020, section 4.2).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Distribution
from vae_fn.distributions.layered import Values
from vae_fn.gradients.estimator import Estimator, Evaluations, stateless
from vae_fn.gradients.estimators.layering import as_layers, as_noise, as_value, jumps, redraw
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import Seen, pull_held
from vae_fn.gradients.wires import Pulled
from vae_fn.types import Params, Tree


def disarm() -> Estimator:
    """DisARM for Bernoulli latents, in one layer or several (Dong et al. 2020, eq. 8)."""
    return stateless(
        "disarm",
        pull_pairs,
        unbiased_for="the ELBO",
        latents="discrete",
        noise_like=_noise_like,
        evaluations=lambda q, samples: Evaluations(*[samples * (1 + len(as_layers(q).order))] * 2),
        breaks=_breaks,
    )


def pull_pairs(problem: Problem, params: Params, noise: Tree) -> Pulled:
    """Value and gradient of the ELBO: over the samples, and for each layer those in which its bits are flipped."""

    def draw(q: Distribution) -> Tree:
        return tree.map(lambda *leaves: torch.cat(leaves), *(as_value(q, path) for path in _paths(q, noise)))

    def through_q(live: Distribution, q: Distribution, z: Tree, seen: Seen) -> Tensor:
        main, *flipped = _paths(q, noise)
        value, *others = seen.log_weights.chunk(1 + len(flipped))
        held, free, total = as_layers(q).layers(main), as_layers(live).layers(main), torch.zeros_like(value[0])
        for index, path, other in zip(as_layers(q).order, flipped, others, strict=True):
            signal = (value - other).unsqueeze(-1) * scores(held[index].logits, main[index], path[index])
            total = total + (signal * free[index].logits).sum(-1).mean(0)
        return total

    return pull_held(problem, params, draw, through_q)


def scores(
    logits: Float[Tensor, "*#b d"], bits: Float[Tensor, "*#b d"], others: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """What multiplies f(b) - f(b~): (-1)**b~ 1[b != b~] sigmoid(|theta|) / 2, by bit."""
    return 0.5 * (bits - others) * torch.sigmoid(logits.abs())


def _paths(q: Distribution, noise: Tree) -> list[Values]:
    """The sample; and for each layer in order of drawing the one in which it is flipped, and later ones are new."""
    layered, uniform = as_layers(q), as_noise(q, noise["value"])
    main = redraw(layered, {}, uniform, 0)
    paths = [main]
    for place, (index, family) in enumerate((i, layered.layers(main)[i]) for i in layered.order):
        kept = {earlier: main[earlier] for earlier in layered.order[:place]}
        kept[index] = family.sample(1 - uniform[index])
        paths.append(redraw(layered, kept, noise["anew"][place], place + 1))
    return paths


def _noise_like(q: Distribution, samples: int) -> Tree:
    return _arranged(q, as_noise(q, q.noise_like((samples,))))


def _breaks(q: Distribution, samples: int) -> Tree:
    return _arranged(q, tuple(points.expand(samples, *points.shape) for points in jumps(q)))


def _arranged(q: Distribution, layers: tuple) -> Tree:
    """What there is of each layer: of the sample, and for each flipped layer of those after it, () for the others."""
    order = as_layers(q).order
    anew = [[spec if i in order[place + 1 :] else () for i, spec in enumerate(layers)] for place in range(len(order))]
    return {"value": as_value(q, layers), "anew": tuple(map(tuple, anew))}
