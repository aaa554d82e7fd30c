"""Quadratic forms of standard normal noise e of D dimensions, from their values at a few points.

    log w = c + b'e - e'M e / 2

is determined at the points 0, +-e_i and e_i + e_j. Then E log w = c - tr M / 2, and

    log E w**s = s c + s**2 b'(I + s M)**-1 b / 2 - log det(I + s M) / 2

wherever I + s M is positive. Whether log w is a form at all is judged at `others`, out to the tails of the noise.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

Table = Float64[Tensor, "n b"]
"""Values at `points`, by example."""

REACH = (2.0, 4.0, 8.0)
"""How far from 0 along every axis a form is compared with what it stands for: beyond 8 lies 1e-15 of the noise."""


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


def points(dim: int) -> Float64[Tensor, "n d"]:
    """0, e_i, -e_i and e_i + e_j for i < j, which determine a form; and `others`."""
    unit = torch.eye(dim, dtype=torch.float64)
    first, second = torch.triu_indices(dim, dim, 1)
    return torch.cat([0 * unit[:1], unit, -unit, unit[first] + unit[second], others(dim)])


def others(dim: int) -> Float64[Tensor, "n d"]:
    """Points to either side along the axes, and along as many directions oblique to all of them.

    The oblique ones are the orthonormal waves of the cosine transform, and lie as far beyond sqrt(D), the length of
    most noise, as those on the axes beyond 1.
    """
    unit, reach = torch.eye(dim, dtype=torch.float64), torch.tensor(REACH, dtype=torch.float64).reshape(-1, 1, 1)
    place = torch.arange(dim, dtype=torch.float64)
    waves = torch.cos(math.pi / dim * torch.outer(place, place + 0.5))
    waves = waves / torch.linalg.vector_norm(waves, dim=1, keepdim=True)
    found = torch.cat([reach * unit, (reach - 1 + math.sqrt(dim)) * waves]).reshape(-1, dim)
    return torch.cat([found, -found])


def coefficients(table: Table, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The c `(b)`, b `(b, d)` and M `(b, d, d)`, from the values at `points`."""
    zero, plus, minus, pairs = table[: _determining(dim)].split([1, dim, dim, dim * (dim - 1) // 2])
    place = torch.zeros(dim, dim, dtype=torch.int64)
    place[tuple(torch.triu_indices(dim, dim, 1))] = torch.arange(1, len(pairs) + 1)
    off = plus.unsqueeze(0) + plus.unsqueeze(1) - zero - torch.cat([zero, pairs])[place + place.T]
    diagonal = torch.diag_embed((2 * zero - plus - minus).T)
    matrix = torch.where(torch.eye(dim, dtype=torch.bool), diagonal, off.movedim(-1, 0))
    return zero[0], (0.5 * (plus - minus)).T, matrix


def _determining(dim: int) -> int:
    """How many of `points` determine a form."""
    return 1 + dim + dim * (dim + 1) // 2


def form_of(table: Table, basis: Float64[Tensor, "b d d"]) -> Form:
    """The form, in a basis for each example."""
    constant, linear, matrix = coefficients(table, basis.shape[-1])
    turned = basis.mT @ matrix @ basis
    diagonal = turned.diagonal(dim1=-2, dim2=-1)
    return Form(constant, (linear.unsqueeze(-2) @ basis).squeeze(-2), diagonal, turned - torch.diag_embed(diagonal))


def basis_of(table: Table, dim: int) -> Float64[Tensor, "b d d"]:
    """For each example a basis in which M is diagonal."""
    return torch.linalg.eigh(coefficients(table, dim)[2]).eigenvectors


def log_moment(form: Form, held: Form, s: Complex128[Tensor, " y"]) -> Complex128[Tensor, "y b"]:
    """The logarithm of E w**s; `held` is the form itself, in which no derivative is taken."""
    s = s.unsqueeze(-1)
    scaled, at = 1 + s.unsqueeze(-1) * form.diagonal, held.linear / (1 + s.unsqueeze(-1) * held.diagonal)
    off = torch.einsum("ybi,bij,ybj->yb", at, form.off.to(at.dtype), at)
    squares = (form.linear**2 / scaled).sum(-1) - s * off
    return s * form.constant + 0.5 * s**2 * squares - 0.5 * scaled.log().sum(-1)


def mean(form: Form) -> Float64[Tensor, " b"]:
    """E log w."""
    return form.constant - 0.5 * form.diagonal.sum(-1)


def exponents(form: Form, share: float) -> tuple[float, float]:
    """How far s goes to either side: a share of where E w**s exists, of 1, and of where it is no huge number."""
    variance = (form.linear**2 + 0.5 * form.diagonal**2).sum(-1)
    most = min(1.0, 3 / max(1.0, float(variance.max().sqrt())))
    left, right = (max(0.0, float(side.max())) for side in (-form.diagonal, form.diagonal))
    return share / max(left, 1 / most), share / max(right, 1 / most)


def gap(table: Table, dim: int) -> float:
    """The largest difference from a form, at the other points."""
    constant, linear, matrix = coefficients(table, dim)
    e = others(dim)
    told = constant + e @ linear.T - 0.5 * torch.einsum("ni,bij,nj->nb", e, matrix, e)
    return float((told - table[_determining(dim) :]).abs().max())


def largest(table: Table, dim: int) -> float:
    """The largest of the values that determine the form."""
    return float(table[: _determining(dim)].abs().max())
