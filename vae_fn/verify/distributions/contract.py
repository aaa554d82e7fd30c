"""What every family promises of shapes and batches, and its twin in `torch.distributions`."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.errors import lacks_memory
from vae_fn.types import Shape
from vae_fn.verify.distributions.comparing import compare, sizes, truth
from vae_fn.verify.distributions.subject import Subject
from vae_fn.verify.places import raised
from vae_fn.verify.verdict import Verdict

DRAWS = 16
TOLERANCE = 1e-10
"""Of two computations of one number in float64; what float64 blurs is added."""

FRONTS: tuple[Shape, ...] = ((), (5,), (2, 3))
"""Shapes of samples."""


def shapes(subject: Subject) -> Verdict:
    """Samples stand in front, `(*k, *batch, *event)`, densities keep the batch, and the dtype is the parameters'.

    They are numbers, too: NaN would be no mass to what integrates them.
    """
    start = time.perf_counter()
    false = _wrong("mean", subject.q.mean, (*subject.batch, *subject.event), torch.float64)
    for front in FRONTS:
        try:
            false += _wrong_draws(subject, front)
        except (RuntimeError, ValueError, IndexError) as error:
            if lacks_memory(error):
                raise
            false.append(f"{front} draws raise {raised(error)}")
    return truth("shapes", subject.name, false, since=start)


def _wrong_draws(subject: Subject, front: Shape) -> list[str]:
    q, batch, event, dtype = subject.cast(subject.dtype), subject.batch, subject.event, subject.dtype
    noise = random.draw(subject.key("shapes"), q.noise_like(front)).to(dtype)
    value = q.sample(noise)
    densities = {"log_prob": q.log_prob(value), "log_prob_from_noise": q.log_prob_from_noise(noise, value)}
    false = _wrong(f"sample of {front} draws", value, (*front, *batch, *event), dtype)
    for name, density in densities.items():
        false += _wrong(f"{name} of {front} draws", density, (*front, *batch), dtype)
        false += [f"the {name} of {front} draws is not a number"] if bool(density.isnan().any()) else []
    return false


def own_noise(subject: Subject) -> Verdict | str:
    """Every draw of every element of the batch is made of its own noise alone: what becomes of others changes nothing.

    This is what makes draws independent of each other, as shared or mirrored noise does not. The sentence says why it
    cannot be checked.
    """
    start, front = time.perf_counter(), (DRAWS, *subject.batch)
    shape = subject.q.noise_like((DRAWS,)).shape
    if tuple(shape[: len(front)]) != front:
        return f"own noise: the noise of {front} draws has the shape {tuple(shape)}, which does not begin with it"
    some, others = (subject.noise(subject.key(f"own noise {i}"), DRAWS) for i in range(2))
    chosen = random.uniform(subject.key("own noise"), front) < 0.5

    def mixed(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(chosen.reshape(*front, *[1] * (one.ndim - len(front))), other, one)

    seen = subject.q.sample(mixed(some, others))
    expected = mixed(subject.q.sample(some), subject.q.sample(others))
    return compare("own noise", subject.name, seen, expected, tree.map(_rounding, sizes(expected)), since=start)


def _rounding(size: Tensor) -> Tensor:
    return TOLERANCE * size


def batches(subject: Subject) -> Verdict:
    """A further batch dimension, vmap over it, and each of its rows alone give the same numbers."""
    start = time.perf_counter()
    front = subject.batch[:1] or (2,)
    q = subject.q if subject.batch else tree.map(lambda leaf: torch.stack([leaf] * 2), subject.q)
    noise = random.draw(subject.key("batches"), q.noise_like(), torch.float64)
    value = q.sample(noise)
    expected, mapped, alone = {}, {}, {}
    for name, (method, arguments) in _methods(noise, value).items():
        expected[name] = method(q, *arguments)
        try:
            mapped[name] = torch.vmap(method)(q, *arguments)
            rows = [method(*tree.map(lambda leaf, i=i: leaf[i], (q, *arguments))) for i in range(front[0])]
        except (RuntimeError, ValueError, IndexError) as error:
            if lacks_memory(error):
                raise
            return truth("batches", subject.name, [f"{name} of a row of the batch: {raised(error)}"], since=start)
        alone[name] = torch.stack(rows)
        expected[name] = expected[name].expand(alone[name].shape)
    both = {"vmap": expected, "a row alone": expected}
    allowed = tree.map(lambda leaf: (TOLERANCE + 1e3 * subject.blur) * leaf, sizes(both))
    return compare("batches", subject.name, {"vmap": mapped, "a row alone": alone}, both, allowed, since=start)


def to_torch(subject: Subject) -> tuple[list[Verdict], list[str]]:
    """log_prob and mean are those of the object of `torch.distributions`; what it lacks is a sentence."""
    start = time.perf_counter()
    try:
        twin = subject.q.to_torch()
    except (AttributeError, NotImplementedError):
        return [], ["to_torch: there is no such method, or it gives nothing"]
    value = subject.q.sample(subject.noise(subject.key("to_torch"), DRAWS))
    seen, expected = {"draws": subject.q.log_prob(value)}, {"draws": twin.log_prob(value)}
    if subject.states is not None:
        states = subject.values(subject.states.unsqueeze(1).expand(-1, subject.lines, -1))
        seen["states"], expected["states"] = subject.q.log_prob(states), twin.log_prob(states)
    allowed = tree.map(lambda leaf: (TOLERANCE + 1e3 * subject.blur) * leaf, sizes(expected))
    found = [compare("to_torch", subject.name, seen, expected, allowed, since=start)]
    try:
        theirs = twin.mean
    except NotImplementedError:
        return found, ["to_torch: the object has no mean"]
    theirs = subject.rows(theirs)
    allowed = TOLERANCE * subject.pilot.std(0) + 1e-14 * (1e-300 + theirs.abs())
    mean = compare("mean of to_torch", subject.name, subject.rows(subject.q.mean), theirs, allowed, since=start)
    return [*found, mean], []


def _methods(noise: Tensor, value: Tensor) -> dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]]:
    return {
        "sample": (lambda q, e: q.sample(e), (noise,)),
        "log_prob": (lambda q, z: q.log_prob(z), (value,)),
        "log_prob_from_noise": (lambda q, e, z: q.log_prob_from_noise(e, z), (noise, value)),
        "mean": (lambda q: q.mean, ()),
    }


def _wrong(name: str, seen: Tensor, shape: Shape, dtype: torch.dtype) -> list[str]:
    if tuple(seen.shape) == shape and seen.dtype == dtype:
        return []
    return [f"the {name} is {tuple(seen.shape)} {seen.dtype} where {shape} {dtype} is promised"]
