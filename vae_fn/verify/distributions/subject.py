"""One distribution in float64, with its batch as lines and its event as coordinates."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Family
from vae_fn.types import Key, Shape
from vae_fn.verify.seeds import key_of

PILOT = 2**12
"""Draws that are spent on where the values lie."""

RECURRING = 2**8
"""The most different values among the pilot's draws of one element of the batch by which a law counts as discrete."""

Rows = Float64[Tensor, "*k l d"]
"""Values: d coordinates of an event on each of l lines, the elements of the batch."""


def blur_of(draws: Float64[Tensor, "n ..."]) -> float:
    """How far float64 itself moves draws, in their standard deviations."""
    off = draws.mean(0).abs() / draws.std(0)
    return torch.finfo(torch.float64).eps * float(off.nan_to_num(0.0).max())


class Subject(NamedTuple):
    """What is checked.

    Attributes:
        name: in verdicts.
        q: the distribution, its tensors in float64.
        dtype: of its tensors as they were given.
        batch: its batch shape.
        event: its event shape.
        pilot: draws `(n, l, d)`, to know where the values lie; nothing is tested on them.
        discrete: whether its values recur.
        states: all values of one event `(n, d)`, if it is discrete and they can be enumerated.
        complete: whether those are known to be all; if not, they are the ones that were drawn.
    """

    name: str
    q: Family
    dtype: torch.dtype
    batch: Shape
    event: Shape
    pilot: Rows
    discrete: bool
    states: Float64[Tensor, "n d"] | None
    complete: bool

    @property
    def lines(self) -> int:
        """How many elements the batch has."""
        return math.prod(self.batch)

    @property
    def dimensions(self) -> int:
        """How many numbers an event has."""
        return math.prod(self.event)

    @property
    def aligned(self) -> bool:
        """Whether every tensor has the whole batch in front of its event, so that a row is a row of each of them."""
        front, rank = len(self.batch), len(self.batch) + len(self.event)
        return all(leaf.ndim >= rank and leaf.shape[:front] == self.batch for leaf in tree.leaves(self.q))

    @property
    def blur(self) -> float:
        """How far float64 itself moves a value, in its standard deviations: what recomputing the noise is off by."""
        if self.discrete:
            return 0.0
        return blur_of(self.pilot)

    def rows(self, value: Float64[Tensor, "..."]) -> Rows:
        """Values `(*k, *batch, *event)` as rows."""
        n = value.shape[: value.ndim - len(self.batch) - len(self.event)]
        return value.reshape(*n, self.lines, self.dimensions)

    def values(self, rows: Rows) -> Float64[Tensor, "..."]:
        """Rows as values `(*k, *batch, *event)`."""
        return rows.reshape(*rows.shape[:-2], *self.batch, *self.event)

    def log_density(self, q: Family, rows: Rows) -> Float64[Tensor, "*k l"]:
        """`q.log_prob` of rows; q is this distribution or another one over the same events."""
        found = q.log_prob(self.values(rows))
        n = rows.shape[:-2]
        return found.expand((*n, *self.batch)).reshape(*n, self.lines)

    def noise(self, key: Key, count: int, dtype: torch.dtype = torch.float64) -> Any:
        """Noise for `count` draws."""
        return random.draw(key, self.q.noise_like((count,)), dtype)

    def draw(self, key: Key, count: int) -> Rows:
        """Rows that are drawn as a user draws them: noise from a key, values from the noise."""
        return self.rows(self.q.sample(self.noise(key, count)).detach())

    def key(self, purpose: str) -> Key:
        """A key of this distribution for one purpose."""
        return key_of(self.name, self.q, purpose)

    def over(self, p: Family) -> "Subject":
        """The same distribution over the batch that it has together with another one."""
        shape = tuple(p.mean.shape)
        batch = torch.broadcast_shapes(self.batch, shape[: len(shape) - len(self.event)])
        aligned = self.pilot.reshape(len(self.pilot), *[1] * (len(batch) - len(self.batch)), *self.batch, *self.event)
        pilot = aligned.expand((len(self.pilot), *batch, *self.event))
        wide = self._replace(batch=tuple(batch))
        return wide._replace(pilot=wide.rows(pilot))

    def cast(self, dtype: torch.dtype) -> Family:
        """The distribution with its tensors rounded to a dtype."""
        return cast(self.q, dtype)


def bare(q: Family, name: str | None) -> Subject:
    """A distribution of which nothing is known but its shapes.

    Raises:
        TypeError: q has no tensors, or they are not floating.
        ValueError: its batch or its event has no elements.
    """
    leaves = tree.leaves(q)
    if not leaves or not all(isinstance(leaf, Tensor) and leaf.is_floating_point() for leaf in leaves):
        raise TypeError(f"a distribution is a NamedTuple of floating tensors, and this is {q!r}: see its protocol")
    double = cast(q, torch.float64)
    shape = tuple(double.mean.shape)
    front = len(shape) - q.event_ndim
    if not math.prod(shape):
        raise ValueError(f"there is nothing to check: its mean has the shape {shape}, without elements")
    name = name or f"{type(q).__name__} {(*shape[:front],)} {(*shape[front:],)}"
    nothing = torch.zeros(1, 1, 1, dtype=torch.float64)
    return Subject(name, double, leaves[0].dtype, shape[:front], shape[front:], nothing, False, None, True)


def with_pilot(subject: Subject) -> Subject:
    """The same with a pilot, and with the states that it tells, or those of the pilot if its values recur."""
    subject = subject._replace(pilot=subject.draw(subject.key("pilot"), PILOT))
    tell = getattr(subject.q, "states", None)
    if tell is not None:
        try:
            return subject._replace(discrete=True, states=tell().double().flatten(1))
        except ValueError:
            return subject._replace(discrete=True)
    seen = subject.pilot.flatten(0, 1).unique(dim=0)
    if len(seen) > RECURRING * subject.lines:
        return subject
    return subject._replace(discrete=True, states=seen, complete=False)


def cast(q: Family, dtype: torch.dtype) -> Family:
    """Q with its tensors in another dtype, cut off from whatever they were computed from."""
    return tree.map(lambda leaf: leaf.detach().to(dtype), q)
