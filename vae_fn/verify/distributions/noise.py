"""What a distribution makes of its noise: `log_prob_from_noise`, `noise_of`, and the change of variables."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, func

from vae_fn import random, tree
from vae_fn.distributions import Family
from vae_fn.types import Tree
from vae_fn.verify.distributions.comparing import compare, sizes
from vae_fn.verify.distributions.subject import Subject, blur_of, cast
from vae_fn.verify.verdict import Verdict

DRAWS = 8
TOLERANCE = 1e-9
"""Of two computations in float64, relative to 1 and their size; what float64 blurs is added."""

FLOAT32 = 2e-5
"""Of float32, relative to 1 and the size."""

WIDEST = 32
"""The most dimensions of a Jacobian."""

TINY = 1e-8

LOOSEST = 1e-2
"""The most that is forgiven, relative to 1 and the size: with more, no error would be seen."""

COARSE = "float64 itself loses the noise where a scale is so small beside its location"

Density = Callable[[Family, Tensor, Tensor], Tensor]

vjp: Callable[..., Any] = func.vjp

LOG_DENSITY: dict[Callable[..., Tensor], Callable[[Tensor], Tensor]] = {
    random.normal: lambda e: -0.5 * e**2 - 0.5 * math.log(2 * math.pi),
    random.laplace: lambda e: -e.abs() - math.log(2),
    random.logistic: lambda e: -e.abs() - 2 * torch.log1p(torch.exp(-e.abs())),
    random.gumbel: lambda e: -e - torch.exp(-e),
    random.uniform: torch.zeros_like,
}
"""Of the laws of noise."""


def from_noise(q: Family, noise: Tensor, value: Tensor) -> Tensor:
    """The density that is to be checked."""
    return q.log_prob_from_noise(noise, value)


def from_value(q: Family, noise: Tensor, value: Tensor) -> Tensor:
    """The one that it must be equal to."""
    del noise
    return q.log_prob(value)


def noise_form(subject: Subject) -> Verdict:
    """log_prob_from_noise(noise, sample(noise)) is log_prob(sample(noise)), and so are all first derivatives."""
    start = time.perf_counter()
    noise = subject.noise(subject.key("noise form"), DRAWS)
    seen, expected = (_derivatives(density, subject.q, noise) for density in (from_noise, from_value))
    return compare("noise form", subject.name, seen, expected, _allowed(expected, _slack(subject)), since=start)


def too_coarse(subject: Subject) -> bool:
    """Whether float64 moves values so far that what is computed from them can be compared with nothing."""
    return _slack(subject) > LOOSEST


def in_float32(subject: Subject, q: Family, claim: str) -> Verdict | str:
    """In float32 the noise form and its derivatives are those of float64, and so are the masses of all states.

    The sentence says that float64 is no judge of it.

    Args:
        subject: what is checked.
        q: it, or another member of its family, in float64.
        claim: the name of the claim.
    """
    start = time.perf_counter()
    narrow = cast(q, torch.float32)
    wide = cast(narrow, torch.float64)
    noise = random.draw(subject.key(claim), q.noise_like((DRAWS,)), torch.float32)
    blur = 0.0 if subject.discrete else blur_of(wide.sample(noise.double()))  # float64 recomputes the noise itself
    slack = FLOAT32 + 64 * blur
    if slack > LOOSEST:
        return f"{claim}: {COARSE}"
    value = narrow.sample(noise) if subject.discrete else None
    seen = _derivatives(from_noise, narrow, noise, value)
    expected = _derivatives(from_value, wide, noise.double(), None if value is None else value.double())
    if subject.states is not None:
        states = subject.values(subject.states.unsqueeze(1).expand(-1, subject.lines, -1))
        seen["states"], expected["states"] = narrow.log_prob(states.float()), wide.log_prob(states)
    return compare(claim, subject.name, seen, expected, _allowed(expected, slack), since=start)


def inverse(subject: Subject, noise_of: Callable[[Tensor], Tensor]) -> Verdict:
    """noise_of undoes sample, and sample undoes noise_of."""
    start = time.perf_counter()
    noise = subject.noise(subject.key("inverse"), DRAWS)
    value = subject.q.sample(noise)
    undone = noise_of(value)
    seen, expected = {"noise": undone, "value": subject.q.sample(undone)}, {"noise": noise, "value": value}
    return compare("inverse", subject.name, seen, expected, _allowed(expected, _slack(subject)), since=start)


def change_of_variables(subject: Subject) -> Verdict | str:
    """log_prob(sample(noise)) is the log density of the noise less the log determinant of the derivative of sample.

    With this, the law of the samples is that of log_prob in any number of dimensions, as long as sample is one-to-one
    and the noise is drawn as it says. The sentence says why it cannot be checked.
    """
    start = time.perf_counter()
    spec = subject.q.noise_like((DRAWS,))
    if spec.law not in LOG_DENSITY:
        return f"change of variables: the density of noise from {getattr(spec.law, '__name__', spec.law)} is not known"
    if spec.shape != (DRAWS, *subject.batch, *subject.event) or subject.dimensions > WIDEST:
        return f"change of variables: it takes an event of at most {WIDEST} dimensions and noise of the same shape"
    noise = subject.noise(subject.key("change of variables"), DRAWS)
    log_det = torch.linalg.slogdet(_jacobian(subject, noise)).logabsdet
    if bool((log_det == -torch.inf).any()):
        return "change of variables: the derivative of sample by the noise is 0"
    expected = subject.rows(LOG_DENSITY[spec.law](noise)).sum(-1) - log_det
    seen = subject.log_density(subject.q, subject.rows(subject.q.sample(noise)))
    allowed = _slack(subject) * sizes(expected)
    return compare("change of variables", subject.name, seen, expected, allowed, since=start)


def tiny_member(subject: Subject) -> Family | None:
    """The member of a location-scale family with scales 1e-8 times as large, away from 0; None for other families.

    Scales and locations are found by what they do to draws: a tensor that is multiplied by 1e-8, or a logarithm that is
    moved, shrinks them; one that is moved moves them.
    """
    noise = subject.noise(subject.key("tiny member"), 64)
    q = _changed(subject, subject.q, lambda leaf: leaf + 0.7, lambda old, new: new - old - 0.7, noise) or subject.q
    for shrink in (lambda leaf: leaf * TINY, lambda leaf: leaf + math.log(TINY)):
        tiny = _changed(subject, q, shrink, lambda old, new: new.std(0) / TINY - old.std(0), noise)
        if tiny is not None:
            return tiny
    return None


def _changed(
    subject: Subject,
    q: Family,
    change: Callable[[Tensor], Tensor],
    gap: Callable[[Tensor, Tensor], Tensor],
    noise: Any,
) -> Family | None:
    """Q with the first tensor changed for which old and new draws have no gap."""
    old = subject.rows(q.sample(noise))
    leaves = list(tree.flat_names(q))
    for name in leaves:
        named = tree.flat_names(q)
        named[name] = change(named[name])
        new = tree.from_names(named, q)
        draws = subject.rows(new.sample(noise))
        allowed = min(1e-6 + 64 * blur_of(draws), LOOSEST)
        if bool((gap(old, draws).abs() <= allowed * old.std(0)).all()):
            return new
    return None


def _derivatives(density: Density, q: Family, noise: Tensor, value: Tensor | None = None) -> dict[str, Tree]:
    """Values and first derivatives of every draw, of the whole path from noise and parameters, and at a held value."""
    held = q.sample(noise) if value is None else value
    density_of, by_path = vjp(lambda q, e: density(q, e, q.sample(e)), q, noise)
    held_density, by_value = vjp(lambda q, z: density(q, noise, z), q, held)
    path, at_value = (_of_every_draw(pull, density_of) for pull in (by_path, by_value))
    return {
        "value": density_of if value is None else held_density,
        "held": at_value[0],
        "held, by value": at_value[1],
        "reparameterised": path[0] if value is None else at_value[0],
        "reparameterised, by noise": path[1] if value is None else at_value[1],
    }


def _of_every_draw(pull: Callable[[Tensor], Tree], density: Tensor) -> Tree:
    """The derivatives of each draw's densities, stacked."""
    draws = torch.arange(len(density)).reshape(-1, *[1] * (density.ndim - 1))
    pulled = [pull((draws == k).to(density.dtype).expand_as(density)) for k in range(len(density))]
    return tree.map(lambda *leaves: torch.stack(leaves), *pulled)


def _allowed(expected: dict[str, Tree], slack: float) -> Tree:
    """The slack times the size of each tensor; total derivatives are differences of terms of the size of held ones."""
    largest = {name: sizes(part) for name, part in expected.items()}
    if "held" in largest:
        largest["reparameterised"] = sizes(expected["reparameterised"], expected["held"])
    return tree.map(lambda leaf: slack * leaf, largest)


def _slack(subject: Subject) -> float:
    return TOLERANCE + 1e3 * subject.blur


def _jacobian(subject: Subject, noise: Float64[Tensor, "..."]) -> Float64[Tensor, "k l d d"]:
    """The derivatives of every event by its own noise."""
    value, pull = vjp(subject.q.sample, noise)
    units = torch.eye(subject.dimensions, dtype=value.dtype)
    rows = [pull(subject.values(unit.expand_as(subject.rows(value))))[0] for unit in units]
    return torch.stack([subject.rows(row) for row in rows], -2)
