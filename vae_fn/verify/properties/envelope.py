"""Arguments of all magnitudes and signs: zeros, tiny and large numbers, in all combinations where they are few."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random
from vae_fn.types import Key, Shape
from vae_fn.verify.properties.arguments import Arguments

EDGES = (0.0, 1e-30, 1e-8, 1e-4, 0.3, 1.0, 5.0, 17.0, 20.0, 25.0, 88.0, 89.0, 103.0, 104.0, 710.0, 745.0, 1e3, 1e4)
"""Magnitudes at which exp, softplus and sigmoid overflow, underflow or saturate in some dtype; both signs are tried."""

FEWEST, MOST, ENTRIES = 64, 2**15, 2**21
"""Bounds on the points at a time, and how many numbers they may hold together."""

Domain = tuple[float, float] | None
"""The bounds of an argument that is not scaled; None for one that stays as it is."""

Choices = dict[str, Float64[Tensor, " v"]]
"""The values that the numbers of each leaf take."""


class Space(NamedTuple):
    """What is varied.

    Attributes:
        scaled: the leaves that take all magnitudes.
        bounded: those that stay in a domain.
        domains: their domains.
    """

    scaled: dict[str, Tensor]
    bounded: dict[str, Tensor]
    domains: dict[str, tuple[float, float]]


def space(given: Arguments, domains: Mapping[str, Domain]) -> Space:
    """Sort the floating-point leaves; a domain is given by the name of an argument or of a path in one.

    Raises:
        ValueError: no leaf has such a name, a domain has no inside, or nothing is left to scale.
    """
    for name, domain in domains.items():
        if domain is not None and not -math.inf < domain[0] <= domain[1] < math.inf:
            raise ValueError(f"the domain of {name} is (low, high), not {domain}")
    if not given.varied:
        raise ValueError("there are no floating-point arguments to vary")
    places = {path: [name for name in domains if f"{path}/".startswith(f"{name}/")] for path in given.varied}
    known = ", ".join(given.varied)
    if unknown := set(domains) - {name for names in places.values() for name in names}:
        raise ValueError(f"no floating-point argument is called {', '.join(sorted(unknown))}: there are {known}")
    scaled = {path: leaf for path, leaf in given.varied.items() if not places[path]}
    if not scaled:
        raise ValueError(f"every argument has a domain: leave out one of {known}, which is then scaled")
    found = {path: domains[max(names, key=len)] for path, names in places.items() if names}
    bounds = {path: domain for path, domain in found.items() if domain is not None}
    return Space(scaled, {path: given.varied[path] for path in bounds}, bounds)


def magnitudes(promise: float, space: Space) -> list[float]:
    """The decades from 1 to the largest number of the narrowest dtype, and the promise."""
    largest = min(torch.finfo(leaf.dtype).max for leaf in space.scaled.values())
    return sorted({promise, *(10.0**k for k in range(int(math.log10(largest)) + 1))})


def points(space: Space, magnitude: float, key: Key) -> dict[str, Tensor]:
    """Values of all leaves up to a magnitude, with n points in front, `(n, *shape)`.

    First all numbers of a leaf are equal, in all combinations of the leaves, or in as many as there may be, drawn at
    random. Then every number is drawn for itself. Half of what is drawn has the full magnitude.
    """
    leaves = space.scaled | space.bounded
    choices = {path: _up_to(magnitude) for path in space.scaled}
    choices |= {path: _within(*domain) for path, domain in space.domains.items()}
    count = min(MOST, max(FEWEST, ENTRIES // sum(leaf.numel() for leaf in leaves.values())))
    one, other = random.split(key)
    if math.prod(len(values) for values in choices.values()) <= count:
        equal = _combinations(choices)
    else:
        equal = _drawn(choices, dict.fromkeys(choices, ()), count, one)
    mixed = _drawn(choices, {path: tuple(leaf.shape) for path, leaf in leaves.items()}, max(FEWEST, count // 8), other)
    return {
        path: torch.cat([equal[path].reshape(-1, *[1] * leaf.ndim).expand(-1, *leaf.shape), mixed[path]]).to(leaf)
        for path, leaf in leaves.items()
    }


def _up_to(magnitude: float) -> Float64[Tensor, " v"]:
    """Edges below a magnitude and itself, of both signs."""
    sizes = torch.tensor([*(edge for edge in EDGES if edge < magnitude), magnitude], dtype=torch.float64)
    return torch.cat([sizes, -sizes])


def _within(low: float, high: float) -> Float64[Tensor, " v"]:
    """The ends of a domain, its middle, and the edges inside it."""
    signed = _up_to(max(abs(low), abs(high)))
    inside = signed[(signed > low) & (signed < high)]
    return torch.cat([torch.tensor([low, high, (low + high) / 2], dtype=torch.float64), inside])


def _combinations(choices: Choices) -> dict[str, Float64[Tensor, " n"]]:
    grid = torch.meshgrid(*choices.values(), indexing="ij")
    return {path: values.flatten() for path, values in zip(choices, grid, strict=True)}


def _drawn(choices: Choices, shapes: dict[str, Shape], count: int, key: Key) -> dict[str, Float64[Tensor, " n *s"]]:
    drawn = {}
    for (path, values), own in zip(choices.items(), random.split(key, len(choices)), strict=True):
        extremes = torch.stack([values.min(), values.max()]).repeat(len(values) // 2)
        weighted = torch.cat([values, extremes])
        place = random.uniform(own, (count, *shapes[path])) * len(weighted)
        drawn[path] = weighted[place.long()]
    return drawn
