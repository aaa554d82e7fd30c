"""Normal latents of any number whose log-weights are a quadratic form: linear-Gaussian models, and quadratic costs.

Of standard normal noise e of D dimensions, log w = c + b'e - e'M e / 2 is known from its values at the points 0, +-e_i
and e_i + e_j, so that these are all nodes that there need be. Then E log w = c - tr M / 2, and

    log E w**s = s c + s**2 b'(I + s M)**-1 b / 2 - log det(I + s M) / 2

wherever I + s M is positive, from which `mellin` finds the K-sample bound of any K. Other points tell whether the form
is quadratic.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from vae_fn import random
from vae_fn.distributions import Distribution
from vae_fn.gradients.oracles import mellin
from vae_fn.gradients.oracles.exact import Exact, refined
from vae_fn.gradients.oracles.weighing import (
    Averaged,
    PerNode,
    Support,
    Target,
    batch_shape,
    integrate,
    latents,
    over_batch,
    vjp,
)
from vae_fn.gradients.problem import Problem
from vae_fn.types import Params, Tree

QUADRATIC = 1e-9
"""The largest gap at other points, relative to 1 + the largest log-weight."""

OTHERS = 2
"""Points at which the form is compared with log w."""

ENTRIES = 2**22
"""Complex numbers at a time."""

EPSILON = torch.finfo(torch.float64).eps

ADVICE = "measure against a long average, or use fewer latents"


class Form(NamedTuple):
    """c, b and M of every example, in a basis in which M is diagonal.

    Attributes:
        constant: c `(b)`.
        linear: b `(b, d)`.
        diagonal: of M, `(b, d)`.
        off: the rest of M, `(b, d, d)`: 0 in value, and not in its derivatives.
    """

    constant: Float64[Tensor, " b"]
    linear: Float64[Tensor, "b d"]
    diagonal: Float64[Tensor, "b d"]
    off: Float64[Tensor, "b d d"]


def elbo(problem: Problem, params: Params) -> Exact:
    """E[f + beta (log p - log q)] + exact, where log w is a quadratic form.

    Raises:
        ValueError: the latents are not normal, or the form is not quadratic; or the problem is not in float64.
    """
    q = problem.q(params)
    return refined([integrate(problem, params, support(q), _target(_latents(q), _mean))], "quadratic form")


def support(q: Distribution) -> Support:
    """The points that determine a quadratic form, and those that tell whether it is one; their weights mean nothing.

    Raises:
        ValueError: the latents are not normal.
    """
    dim, batch = _latents(q), batch_shape(q)
    nodes = points(dim)

    def at(q: Distribution, rows: slice) -> tuple[Tree, PerNode, PerNode]:
        noise = over_batch(nodes[rows], 1, batch)
        z = q.sample(noise)
        log_q = q.log_prob_from_noise(noise, z)
        return z, log_q, torch.ones_like(log_q)

    return Support(len(nodes), at, lambda samples, level: target_of(dim, samples, level))


def points(dim: int) -> Float64[Tensor, "n d"]:
    """0, e_i, -e_i, e_i + e_j for i < j, and two others."""
    unit = torch.eye(dim, dtype=torch.float64)
    first, second = torch.triu_indices(dim, dim, 1)
    other = torch.cos(torch.arange(1.0, 2 * dim + 1, dtype=torch.float64)).reshape(2, dim) * torch.tensor(
        [[1.0], [3.0]]
    )
    return torch.cat([0 * unit[:1], unit, -unit, unit[first] + unit[second], other])


def target_of(dim: int, samples: int | float, level: int) -> Target:
    """The K-sample bound as a function of log w at the points; log E w where K is infinite.

    Raises:
        ValueError: K is below 1.
    """
    if samples < 1:
        raise ValueError(f"a bound has 1 sample or more, not {samples}")
    cut = 1e-13 / 10**level

    def bound(form: Form, held: Form) -> Float64[Tensor, " b"]:
        if math.isinf(samples):
            if not bool((held.diagonal > -1).all()):
                raise ValueError("E w is infinite: q falls faster than the posterior; widen q")
            return log_moment(form, held, torch.ones(1, dtype=torch.complex128)).real[0]
        centre = _mean(held, held)
        form, held = (each._replace(constant=each.constant - centre) for each in (form, held))
        at = mellin.contours(
            lambda s: log_moment(held, held, s),
            _exponents(held, 1 / (2 + level / 2)),
            int(samples),
            digits=30.0 + 7 * level,
            step=1 / (3 + level),
            cut=cut,
        )
        total = mellin.log_sum(lambda s: log_moment(form, held, s), int(samples), at)
        return centre + total - math.log(samples)

    return _target(dim, bound, 4 * cut)


def log_moment(form: Form, held: Form, s: Complex128[Tensor, " y"]) -> Complex128[Tensor, "y b"]:
    """The logarithm of E w**s; `held` is the form itself, in which no derivative is taken."""
    s = s.unsqueeze(-1)
    scaled, at = 1 + s.unsqueeze(-1) * form.diagonal, held.linear / (1 + s.unsqueeze(-1) * held.diagonal)
    off = torch.einsum("ybi,bij,ybj->yb", at, form.off.to(at.dtype), at)
    squares = (form.linear**2 / scaled).sum(-1) - s * off
    return s * form.constant + 0.5 * s**2 * squares - 0.5 * scaled.log().sum(-1)


def _target(dim: int, bound: Callable[[Form, Form], Tensor], lost: float = 0.0) -> Target:
    """A function of forms, as one of the log-weights at `points`, some examples at a time."""

    def one(table: Float64[Tensor, "n b"]) -> tuple[Tensor, Tensor]:
        _, _, matrix = _coefficients(table, dim)
        basis = torch.linalg.eigh(matrix).eigenvectors
        held = _form(table, basis)
        found, pull = vjp(lambda table: bound(_form(table, basis), held), table)
        (slope,) = pull(torch.ones_like(found))
        return found, slope

    def averaged(log_weights: PerNode, weights: PerNode) -> Averaged:
        table = log_weights.reshape(len(log_weights), -1)
        _check(table, dim)
        parts = [one(part) for part in table.split(max(1, ENTRIES // (1024 * dim)), 1)]
        found, slopes = (torch.cat(each, -1) for each in zip(*parts, strict=True))
        rounding = 4 * EPSILON * dim * float(table.abs().max())
        batch = log_weights.shape[1:]
        return Averaged(
            found.reshape(batch), slopes.reshape(log_weights.shape), torch.zeros_like(weights), lost + rounding
        )

    return averaged


def _mean(form: Form, held: Form) -> Float64[Tensor, " b"]:
    """E log w."""
    return form.constant - 0.5 * form.diagonal.sum(-1)


def _exponents(form: Form, share: float) -> tuple[float, float]:
    """How far s goes to either side: a share of where E w**s exists, of 1, and of where it is no huge number."""
    variance = (form.linear**2 + 0.5 * form.diagonal**2).sum(-1)
    most = min(1.0, 3 / max(1.0, float(variance.max().sqrt())))
    left, right = (max(0.0, float(side.max())) for side in (-form.diagonal, form.diagonal))
    return share / max(left, 1 / most), share / max(right, 1 / most)


def _form(table: Float64[Tensor, "n b"], basis: Float64[Tensor, "b d d"]) -> Form:
    constant, linear, matrix = _coefficients(table, basis.shape[-1])
    turned = basis.mT @ matrix @ basis
    diagonal = turned.diagonal(dim1=-2, dim2=-1)
    return Form(constant, (linear.unsqueeze(-2) @ basis).squeeze(-2), diagonal, turned - torch.diag_embed(diagonal))


def _coefficients(table: Float64[Tensor, "n b"], dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """C `(b)`, b `(b, d)` and M `(b, d, d)`, from the values at `points`."""
    zero, plus, minus, pairs, _ = table.split([1, dim, dim, dim * (dim - 1) // 2, OTHERS])
    place = torch.zeros(dim, dim, dtype=torch.int64)
    place[tuple(torch.triu_indices(dim, dim, 1))] = torch.arange(1, len(pairs) + 1)
    off = plus.unsqueeze(0) + plus.unsqueeze(1) - zero - torch.cat([zero, pairs])[place + place.T]
    diagonal = torch.diag_embed((2 * zero - plus - minus).T)
    matrix = torch.where(torch.eye(dim, dtype=torch.bool), diagonal, off.movedim(-1, 0))
    return zero[0], (0.5 * (plus - minus)).T, matrix


def _check(table: Float64[Tensor, "n b"], dim: int) -> None:
    """Refuse log-weights that are no quadratic form.

    Raises:
        ValueError: they differ from it at the other points, or are not finite.
    """
    constant, linear, matrix = _coefficients(table, dim)
    e = points(dim)[-OTHERS:]
    told = constant + e @ linear.T - 0.5 * torch.einsum("ni,bij,nj->nb", e, matrix, e)
    gap, size = (told - table[-OTHERS:]).abs().max(), table.abs().max()
    if not bool(gap <= QUADRATIC * (1 + size)):
        raise ValueError(
            f"{dim} Normal latents: quadrature takes at most 3, and these log-weights are no quadratic form, of which "
            f"there is a closed form; {ADVICE}"
        )


def _latents(q: Distribution) -> int:
    """The number of latents.

    Raises:
        ValueError: they are not normal.
    """
    spec = q.noise_like()
    if isinstance(spec, tuple) or spec.law is not random.normal:
        raise ValueError(
            f"{latents(q)} {type(q).__name__} latents: quadrature takes at most 3, and these are not normal; {ADVICE}"
        )
    return spec.shape[-1]
