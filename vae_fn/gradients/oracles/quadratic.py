"""Normal latents of any number whose log-weights are a quadratic form: linear-Gaussian models, and quadratic costs.

The nodes are the points that determine the form (`forms`), not a rule of quadrature; the ELBO is the form's mean, and
K-sample bounds of any K follow from its moments (`mellin`). Other points, out to the tails of q, tell whether the
log-weights are a form.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random
from vae_fn.distributions import Distribution, batch_shape, over_batch
from vae_fn.gradients.oracles import mellin
from vae_fn.gradients.oracles.exact import Exact, refined
from vae_fn.gradients.oracles.forms import (
    Form,
    Table,
    basis_of,
    exponents,
    form_of,
    gap,
    largest,
    log_moment,
    mean,
    points,
)
from vae_fn.gradients.oracles.weighing import Averaged, PerNode, Rows, Support, Target, integrate, latents, table, vjp
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params, Tree

QUADRATIC = 1e-9
"""The largest gap from a form, relative to 1 + the largest log-weight of those that determine it."""

ENTRIES = 2**22
"""Complex numbers at a time."""

DIGITS = 46.0
"""The most, exp(-46) = 1e-20, to which lines in the complex plane are followed."""

EPSILON = torch.finfo(torch.float64).eps

ADVICE = "measure against a long average, or use fewer latents"


def elbo(problem: Problem, params: Params) -> Exact:
    """E[f + beta (log p - log q)] + exact, where log w is a quadratic form.

    Raises:
        ValueError: the latents are not normal, or the form is not quadratic; or the problem is not in float64.
    """
    q = problem.q(params)
    target = _target(_latents(q), lambda form, held: mean(form))
    return refined([integrate(problem, params, support(q), target)], "quadratic form")


def fits(problem: Problem, params: Params) -> bool:
    """Whether the latents are normal, log w is a quadratic form, and its K-sample bounds can be had."""
    q = problem.q(params)
    if not _are_normal(q):
        return False
    dim = latents(q)
    values = table(problem, params, support(q))[0]
    values = values.reshape(len(values), -1)
    if not _is_form(values, dim):
        return False
    return mellin.reaches(exponents(form_of(values, basis_of(values, dim)), _share(1)), DIGITS)


def support(q: Distribution) -> Support:
    """The points that determine a quadratic form, and those that tell whether it is one; their weights mean nothing.

    Raises:
        ValueError: the latents are not normal.
    """
    dim, batch = _latents(q), batch_shape(q)
    nodes = points(dim)

    def at(q: Distribution, rows: Rows) -> tuple[Tree, PerNode, PerNode]:
        noise = over_batch(nodes[rows], 1, batch)
        z = q.sample(noise)
        log_q = q.log_prob_from_noise(noise, z)
        return z, log_q, torch.ones_like(log_q)

    return Support(len(nodes), at, lambda samples, level: target_of(dim, samples, level))


def target_of(dim: int, samples: int | float, level: int) -> Target:
    """The K-sample bound as a function of log w at the points; log E w where K is infinite."""
    cut = 1e-13 / 10**level

    def bound(form: Form, held: Form) -> Float64[Tensor, " b"]:
        if math.isinf(samples):
            if not bool((held.diagonal > -1).all()):
                raise ValueError("E w is infinite: q falls faster than the posterior; widen q")
            return log_moment(form, held, torch.ones(1, dtype=torch.complex128)).real[0]
        centre = mean(held)
        form, held = (each._replace(constant=each.constant - centre) for each in (form, held))
        at = mellin.contours(
            lambda s: log_moment(held, held, s),
            exponents(held, _share(level)),
            int(samples),
            digits=_digits(int(samples), level),
            step=1 / (3 + level),
            cut=cut,
        )
        total = mellin.log_sum(lambda s: log_moment(form, held, s), int(samples), at)
        return centre + total - math.log(samples)

    return _target(dim, bound, 4 * cut)


def _target(dim: int, bound: Callable[[Form, Form], Tensor], lost: float = 0.0) -> Target:
    """A function of forms, as one of the log-weights at `points`, some examples at a time."""

    def one(values: Table) -> tuple[Tensor, Tensor]:
        basis = basis_of(values, dim)
        held = form_of(values, basis)
        found, pull = vjp(lambda values: bound(form_of(values, basis), held), values)
        (slope,) = pull(torch.ones_like(found))
        return found, slope

    def averaged(log_weights: PerNode, weights: PerNode) -> Averaged:
        values, batch = log_weights.reshape(len(log_weights), -1), log_weights.shape[1:]
        if not _is_form(values, dim):
            raise ValueError(
                f"{dim} Normal latents: quadrature takes at most 3, and these log-weights are no quadratic form, of "
                f"which there is a closed form; {ADVICE}"
            )
        parts = [one(part) for part in values.split(max(1, ENTRIES // (1024 * dim)), 1)]
        found, slopes = (torch.cat(each, -1) for each in zip(*parts, strict=True))
        outside = lost + gap(values, dim) + 4 * EPSILON * dim * largest(values, dim)
        return Averaged(found.reshape(batch), slopes.reshape(log_weights.shape), torch.zeros_like(weights), outside)

    return averaged


def _is_form(values: Table, dim: int) -> bool:
    return gap(values, dim) <= QUADRATIC * (1 + largest(values, dim))


def _share(level: int) -> float:
    """Of where moments exist, how far the lines are from 0."""
    return 1 / (2 + level / 2)


def _digits(samples: int, level: int) -> float:
    """Errors of 1 - M count K times where M**K is taken."""
    return min(31 + math.log(samples) + 6 * level, DIGITS)


def _are_normal(q: Distribution) -> bool:
    spec = q.noise_like()
    return not isinstance(spec, tuple) and spec.law is random.normal


def _latents(q: Distribution) -> int:
    """The number of latents.

    Raises:
        ValueError: they are not normal.
    """
    if not _are_normal(q):
        raise ValueError(
            f"{latents(q)} {type(q).__name__} latents: quadrature takes at most 3, and these are not normal; {ADVICE}"
        )
    return latents(q)
