"""Nodes and weights in place of noise: expectations over noise as finite sums.

Each coordinate of noise gets a rule of its law: Gauss-Hermite for normal, Gauss-Legendre on every piece between jumps
for uniform, Gauss-Laguerre on both sides of the kink for Laplace, Gauss rules of their own for Rayleigh and Maxwell,
the trapezoidal rule for logistic and Gumbel noise, whose densities are analytic and decay exponentially on the whole
line. The rule of an array is their product.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import random, tree
from vae_fn.distributions import Bernoulli, is_discrete
from vae_fn.random import Noise
from vae_fn.types import Tree

Line = tuple[Float64[Tensor, " n"], Float64[Tensor, " n"]]
"""Nodes and weights of one coordinate; the weights sum to 1."""

LIMIT = 2**16
"""The most nodes of a product rule."""


class Nodes(NamedTuple):
    """A rule: the mean of `fn(noise)` is the sum of `weights * fn(noise)`.

    Attributes:
        noise: a tree of noise with the nodes in front, `(n, *shape)` float64.
        weights: of the nodes, summing to 1.
    """

    noise: Tree
    weights: Float64[Tensor, " n"]


def normal(order: int) -> Line:
    """Gauss-Hermite: exact for polynomials of degree 2 order - 1."""
    return _normalised(*np.polynomial.hermite_e.hermegauss(order))


def uniform(order: int, breaks: Float[Tensor, " m"] | None = None) -> Line:
    """Gauss-Legendre on each piece of (0, 1) between `breaks`: exact for piecewise polynomials up to 2 order - 1."""
    edges = torch.tensor([0.0, 1.0], dtype=torch.float64)
    edges = edges if breaks is None else torch.cat([edges, breaks.double().clamp(0, 1)]).sort().values
    low, width = edges[:-1, None], edges.diff()[:, None]
    x, w = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(order))
    nodes, weights = (low + width * (1 + x) / 2).flatten(), (width * w / 2).flatten()
    return nodes[weights > 0], weights[weights > 0]


def laplace(order: int) -> Line:
    """Gauss-Laguerre on either side of 0: exact for polynomials on each side."""
    x, w = _normalised(*np.polynomial.laguerre.laggauss(order))
    return torch.cat([-x.flip(0), x]), torch.cat([w.flip(0), w]) / 2


def window(order: int) -> float:
    """Where the tails of logistic and Gumbel noise are cut: at 41.2, exp(-41.2) = 1e-18, for the order 96.

    It grows with the order: what an integrand has beyond, however large, is then seen in the difference of two orders.
    """
    return 22 + order / 5


def logistic(order: int) -> Line:
    """The trapezoidal rule; its error falls exponentially with the order for analytic integrands."""
    x = torch.linspace(-window(order), window(order), 6 * order, dtype=torch.float64)
    return x, _proportional(-x.abs() - 2 * torch.log1p(torch.exp(-x.abs())))


def gumbel(order: int) -> Line:
    """The trapezoidal rule, as for logistic noise."""
    x = torch.linspace(-math.log(window(order)), window(order), 4 * order, dtype=torch.float64)
    return x, _proportional(-x - torch.exp(-x))


def rayleigh(order: int) -> Line:
    """Gauss's rule of the density x exp(-x**2 / 2) on x > 0: exact for polynomials of degree 2 order - 1.

    Its recurrence is found by the discretised Stieltjes procedure (Gautschi 2004, section 2.2), on the trapezoidal rule
    in log x, to well beyond the last node.
    """
    x = np.exp(np.linspace(-20, np.log(2 * np.sqrt(order) + 10), 30 * order + 400))
    density = x**2 * np.exp(-0.5 * x**2)
    before, now = np.zeros_like(x), np.full_like(x, density.sum() ** -0.5)
    diagonal, beside = np.zeros(order), np.zeros(order + 1)
    for n in range(order):
        diagonal[n] = (density * x * now**2).sum()
        following = (x - diagonal[n]) * now - beside[n] * before
        beside[n + 1] = np.sqrt((density * following**2).sum())
        before, now = now, following / beside[n + 1]
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[1:-1], 1) + np.diag(beside[1:-1], -1))
    return _normalised(nodes, vectors[0] ** 2)


def maxwell(order: int) -> Line:
    """Gauss-Hermite with its weights times x**2: exact for polynomials of degree 2 order - 3."""
    x, w = np.polynomial.hermite_e.hermegauss(max(order, 2))
    return _normalised(x, w * x**2)


RULES: dict[Callable[..., Tensor], Callable[..., Line]] = {
    random.normal: normal,
    random.uniform: uniform,
    random.laplace: laplace,
    random.logistic: logistic,
    random.gumbel: gumbel,
    random.rayleigh: rayleigh,
    random.maxwell: maxwell,
}
"""The rule of each law of `vae_fn.random`."""


def specification(noise: int | Tree) -> Tree:
    """A tree of `Noise`; a number d stands for d standard normals."""
    return Noise(random.normal, (noise,)) if isinstance(noise, int) else noise


def dimensions(noise: Tree) -> int:
    """How many coordinates a tree of `Noise` has."""
    return sum(math.prod(leaf.shape) for leaf in pytree.tree_leaves(noise))


def product(noise: Tree, order: int, breaks: Tree | None = None) -> Nodes:
    """The product rule of a tree of `Noise`.

    Args:
        noise: the specification.
        order: of each coordinate's rule, or of each piece.
        breaks: where the integrand jumps: a tree like `noise` with tensors `(*shape, m)` of points in (0, 1) for
            uniform leaves and None for others.

    Raises:
        ValueError: there are more than `LIMIT` nodes, or a law has no rule.
    """
    specs, structure = pytree.tree_flatten(noise)
    cuts = [None] * len(specs) if breaks is None else structure.flatten_up_to(breaks)
    lines = [line for spec, cut in zip(specs, cuts, strict=True) for line in _lines(spec, order, cut)]
    count = math.prod(len(weights) for _, weights in lines)
    if count > LIMIT:
        raise ValueError(
            f"{len(lines)} dimensions of noise need {count} nodes, and the exact tier takes {LIMIT}: "
            "check a smaller problem, lower the order, or sample"
        )
    nodes, weights = _grid(lines)
    sizes = [math.prod(spec.shape) for spec in specs]
    arrays = [part.reshape(-1, *spec.shape) for part, spec in zip(nodes.split(sizes, 1), specs, strict=True)]
    return Nodes(pytree.tree_unflatten(arrays, structure), weights)


def rising(noise: Tree, orders: Sequence[int], breaks: Tree | None = None) -> Iterator[Nodes]:
    """The product rules of rising orders: two, and as many more as have not too many nodes.

    Raises:
        ValueError: as `product`, for the first two.
    """
    for place, order in enumerate(orders):
        try:
            rule = product(noise, order, breaks)
        except ValueError:
            if place < 2:
                raise
            return
        yield rule


def enumerate_states(q: Any, samples: int = 1, place: float = 0.5) -> Nodes:
    """Every value of `samples` draws of a discrete distribution of batch shape (), through noise that gives it.

    Args:
        q: bits or classes, in one layer or in several.
        samples: K; the noise has shape `(n, K, *event)`, or is a tuple of such.
        place: where in (0, 1) among all the noise that gives a value: what depends on values alone has no part in it.

    Raises:
        ValueError: there are more than `LIMIT` states, or q is not discrete.
    """
    if not is_discrete(q):
        raise ValueError(f"{type(q).__name__} has no states to enumerate: integrate over its noise")
    q = tree.map(lambda leaf: leaf.detach().double(), q)
    states = q.states()
    each = len(tree.leaves(states)[0])
    if each**samples > LIMIT:
        raise ValueError(f"{samples} draws have {each**samples} states, and the exact tier takes {LIMIT}: use fewer")
    rows = torch.cartesian_prod(*[torch.arange(each)] * samples).reshape(-1, samples)
    z = tree.map(lambda values: values[rows], states)
    weights = q.log_prob(z).exp().prod(-1)
    found = Nodes(_noise_giving(q, z, place), weights)
    return tree.map(lambda leaf: leaf[weights > 0], found)


def _noise_giving(q: Any, z: Tree, place: float) -> Tree:
    """Noise at which q, or each of its layers, takes these values."""
    if isinstance(z, tuple):
        return tuple(_noise_giving(family, value, place) for family, value in zip(q.layers(z), z, strict=True))
    if isinstance(q, Bernoulli):
        one, zero = torch.sigmoid(q.logits), torch.sigmoid(-q.logits)
        return torch.where(z > 0.5, zero + place * one, place * zero)
    return z / place - q.logits


def _lines(spec: Noise, order: int, breaks: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    if spec.law not in RULES:
        raise ValueError(f"the law {spec.law.__name__} has no quadrature rule: give Nodes of your own, or sample")
    size = math.prod(spec.shape)
    if breaks is None:
        return [RULES[spec.law](order)] * size
    if spec.law is not random.uniform:
        raise ValueError("breaks are points of uniform noise: give None for other laws")
    return [uniform(order, points) for points in breaks.reshape(size, -1)]


def _grid(lines: list[tuple[Tensor, Tensor]]) -> tuple[Float64[Tensor, "n d"], Float64[Tensor, " n"]]:
    """The product of d rules."""
    nodes, weights = torch.ones(1, 0, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for x, w in lines:
        nodes = torch.cat([nodes.repeat_interleave(len(x), 0), x.repeat(len(nodes)).unsqueeze(-1)], 1)
        weights = (weights[:, None] * w).flatten()
    return nodes, weights


def _normalised(x: np.ndarray, w: np.ndarray) -> Line:
    return torch.from_numpy(x), torch.from_numpy(w / w.sum())


def _proportional(log_density: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    return torch.softmax(log_density, 0)
