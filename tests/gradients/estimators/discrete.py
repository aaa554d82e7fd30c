"""Small problems with discrete latents, their exact gradients, and estimators integrated over their own noise."""

import functools
import itertools
import math

import torch
from torch import Tensor

from tests.gradients import references
from tests.models.toys import bernoulli_vae, normals
from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, BottomUp
from vae_fn.distributions.layered import conditional
from vae_fn.gradients import Problem
from vae_fn.gradients.oracles.nodes import Nodes, product
from vae_fn.models import VAE
from vae_fn.models.bernoulli_latents import layered_bernoulli_latents
from vae_fn.models.categorical_latents import categorical_latents
from vae_fn.types import Params, Tree

ONE_LAYER = bernoulli_vae(3, 2, True)


@functools.cache
def layered_vae(units: tuple[int, ...] = (2, 1)) -> VAE:
    return layered_bernoulli_latents(units, data_dim=3)


@functools.cache
def categorical_vae(variables: int = 1, classes: int = 3) -> VAE:
    return categorical_latents(variables, classes, data_dim=3)


VAES = {"one": ONE_LAYER, "layers": layered_vae(), "classes": categorical_vae()}


def bits_cost(params: Params, z: Tensor) -> Tensor:
    """A cost of bits that is no sum over them."""
    d = z.shape[-1]
    return (z * torch.linspace(-0.7, 1.1, d, dtype=z.dtype)).sum(-1) ** 2 + 0.8 * z.prod(-1) - 0.3 * z[..., 0]


def of_bits(logits: Tensor) -> tuple[Problem, Params]:
    """That cost under q of these logits."""
    return Problem(q=lambda params: Bernoulli(params["q"]), f=bits_cost), {"q": logits}


SECOND = conditional(
    lambda params, z: Bernoulli(z * params["w"] + params["c"]), Bernoulli(torch.zeros(1, dtype=torch.float64))
)


def pair_cost(first: Tensor, second: Tensor) -> Tensor:
    return 0.5 * first - 0.9 * second + 1.7 * first * second


def of_two_layers(a: float, w: float, c: float) -> tuple[Problem, Params]:
    """A bit with logit a, and above it one with logit w b + c."""
    params = {name: torch.tensor([value], dtype=torch.float64) for name, value in (("a", a), ("w", w), ("c", c))}
    problem = Problem(
        q=lambda params: BottomUp(Bernoulli(params["a"]), {"w": params["w"], "c": params["c"]}, (SECOND,)),
        f=lambda params, z: pair_cost(z[0], z[1]).squeeze(-1),
    )
    return problem, params


def exact_elbo(vae: VAE, params: Params, x: Tensor, beta: float) -> Tensor:
    """The ELBO as a sum over all states, by torch.distributions; differentiable in the parameters."""
    q = vae.posterior(params, x, None)
    shapes = [layer.event for layer in _events(q)] if isinstance(q, BottomUp) else [tuple(q.logits.shape)]
    z = _joint([_every(shape, not isinstance(q, BottomUp) and q.event_ndim == 2) for shape in shapes])
    z = z if isinstance(q, BottomUp) else z[0]
    log_q, log_p = (_log_prob(dist, z) for dist in (q, vae.prior(params, None)))
    log_x = vae.likelihood(params, z, None).to_torch().log_prob(x)
    return (log_q.exp() * (log_x + beta * (log_p - log_q))).sum()


class _Event:
    def __init__(self, event: tuple[int, ...]):
        self.event = event


def _events(q: BottomUp) -> list[_Event]:
    return [_Event(tuple(q.first.logits.shape)), *(_Event(each.noise.shape) for each in q.conditionals)]


def _every(shape: tuple[int, ...], classes: bool) -> Tensor:
    if classes:
        rows = [torch.tensor(choice) for choice in itertools.product(range(shape[1]), repeat=shape[0])]
        return torch.nn.functional.one_hot(torch.stack(rows), shape[1]).double()
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=shape[0])), dtype=torch.float64)


def _joint(each: list[Tensor]) -> tuple[Tensor, ...]:
    rows = list(itertools.product(*(range(len(values)) for values in each)))
    return tuple(values[[row[i] for row in rows]] for i, values in enumerate(each))


def _log_prob(dist, z) -> Tensor:
    if isinstance(z, tuple):
        return sum(layer.to_torch().log_prob(values) for layer, values in zip(dist.layers(z), z, strict=True))
    return dist.to_torch().log_prob(z)


def exact_gradient(vae: VAE, params: Params, x: Tensor, beta: float) -> Params:
    return references.gradient(lambda live: exact_elbo(vae, live, x, beta), params)


def pieces(estimator, problem: Problem, params: Params, samples: int = 1, order: int = 1) -> Nodes:
    """Nodes over an estimator's uniform noise, of this order on each piece between its jumps."""
    specs = estimator.noise_like(problem, params, samples)
    return product(specs, order, estimator.breaks(problem, params, samples))


def integrated(estimator, problem: Problem, params: Params, nodes: Nodes, state: Tree = ()) -> tuple[Tree, Tree]:
    """Mean and variance of value and gradients at nodes."""

    def at(noise: Tree) -> Tree:
        found = estimator.estimate(problem, params, noise, state)
        return {"value": {"value": found.value}, **found.grads}

    values = torch.vmap(at, chunk_size=4096)(nodes.noise)
    means = tree.map(lambda leaf: torch.tensordot(nodes.weights, leaf, 1), values)
    return means, tree.map(lambda leaf, centre: torch.tensordot(nodes.weights, (leaf - centre) ** 2, 1), values, means)


def noise_of(estimator, problem: Problem, params: Params, samples: int, seed: int) -> Tree:
    return random.draw(random.key(seed), estimator.noise_like(problem, params, samples), torch.float64)


EDGES = 4.0 ** -torch.arange(1, 13, dtype=torch.float64)
"""Cuts of the noise towards its ends, where relaxed values are no polynomials."""


def fine(estimator, problem, params, order=12):
    """Nodes over one uniform number: between the jumps, and ever finer towards 0 and 1."""
    cuts = estimator.breaks(problem, params, 1)
    cuts = torch.cat([cuts, torch.cat([EDGES, 1 - EDGES]).expand(*cuts.shape[:-1], -1)], -1)
    return product(estimator.noise_like(problem, params, 1), order, cuts)


def shaken(state, seed, eta, tau):
    """A control variate with these weights and a random network."""
    control = state.control | {
        "scale": torch.tensor(eta).double(),
        "log_temperature": torch.tensor(math.log(tau)).double(),
    }
    if "network" in control:
        keys = itertools.count(seed % 2**31)
        control["network"] = tree.map(lambda leaf: normals(next(keys), *leaf.shape), control["network"])
    return state._replace(control=control)


def given_classes(problem, params, order):
    """Gumbel nodes given each class of one variable: the noise is smooth within them."""
    q = problem.q(params)
    count = q.logits.shape[-1]
    free = product(q.noise_like((1,)), order)
    values = torch.eye(count, dtype=torch.float64)
    noise = [q.perturb_given(value.expand(q.logits.shape), free.noise) - q.logits for value in values]
    weights = [p * free.weights for p in torch.softmax(q.logits, -1).squeeze(0)]
    return Nodes(torch.cat(noise), torch.cat(weights))
