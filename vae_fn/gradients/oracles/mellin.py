"""K-sample bounds of a law of weights whose moments are known, by Mellin's inversion.

With E w**s for complex s, the transform M(t) = E exp(-t w) of `importance` is

    M(t) = integral over Re s = r of Gamma(s) t**-s E w**-s ds / (2 pi i),    r > 0,

and the same over Re s = -r is M(t) - 1, as the residue at 0 is 1: which keeps the digits of 1 - M where t is small.
Gamma falls as exp(-pi |Im s| / 2), and the trapezoidal rule of step h errs by exp(-2 pi r / h), r being the distance to
the next singularity.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

HEIGHT = 26.0
"""The largest Im s: Gamma is below 1e-17 there."""

MOST = 2**12
"""The most points along a line."""

LANCZOS = (
    0.99999999999980993,
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7,
)
"""Of Gamma, with g = 7 (Lanczos 1964): right to 1e-15."""

LogMoment = Callable[[Complex128[Tensor, " y"]], Complex128[Tensor, "y b"]]
"""`log_moment(s)`: log E w**s of every example."""


class Contours(NamedTuple):
    """Two lines in the complex plane, Re s = -left and Re s = right, and points u = log t.

    Attributes:
        left: E w**left exists, and so it does a little beyond.
        right: E w**-right exists, and so it does a little beyond.
        digits: the trapezoidal rules along the lines are right to exp(-digits).
        switch: by example, the u from which on the right line is taken.
        u: of all examples.
        step: of u.
    """

    left: float
    right: float
    digits: float
    switch: Float64[Tensor, " b"]
    u: Float64[Tensor, " u"]
    step: float


def contours(
    log_moment: LogMoment, exponents: tuple[float, float], samples: int, *, digits: float, step: float, cut: float
) -> Contours:
    """The lines, and a range of u that leaves out less than `cut` of both terms at either end.

    As 1 - exp(-x) <= x**a and exp(-x) <= x**-b for a and b in (0, 1], the integral below u is at most
    K E w**a exp(a u) / a, and that above (E w**-b exp(-b u))**K / (K b). The best of a few a and b are taken.

    Raises:
        ValueError: the lines need more than `MOST` points.
    """
    left, right = exponents
    if not reaches(exponents, digits):
        raise ValueError(
            f"E w**s exists, or is no huge number, up to |s| = {2 * min(exponents):.1e} alone: q is too far from the "
            "posterior for its K-sample bounds; measure against a long average"
        )
    each = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    up, down = each * left, each * right
    upward, downward = log_moment(up + 0j).real, log_moment(-down + 0j).real
    low = ((math.log(cut / samples) + up.log()).unsqueeze(-1) - upward) / up.unsqueeze(-1)
    high = (downward - (math.log(cut * samples) + down.log()).unsqueeze(-1) / samples) / down.unsqueeze(-1)
    first = min(float(low.amax(0).min()), math.log(cut))
    last = max(float(high.amin(0).max()), math.log(-2 * math.log(cut)))
    u = torch.arange(first, last + step, step, dtype=torch.float64)
    return Contours(left, right, digits, (downward[1] - upward[1]) / (left + right), u, step)


def reaches(exponents: tuple[float, float], digits: float) -> bool:
    """Whether lines so near to 0 have not too many points."""
    return HEIGHT / _spacing(min(exponents), digits) <= MOST


def log_sum(log_moment: LogMoment, samples: int, at: Contours) -> Float64[Tensor, " b"]:
    """E log sum_k w_k of K samples."""
    missing, present = -_along(log_moment, -at.left, at), _along(log_moment, at.right, at)
    missing = torch.where(at.u.unsqueeze(-1) < at.switch, missing, 1 - present)
    power = torch.expm1(samples * torch.log1p(-missing.clamp(max=1 - torch.finfo(missing.dtype).eps)))
    return at.step * (torch.expm1(-at.u.exp()).unsqueeze(-1) - power).sum(0)


def _along(log_moment: LogMoment, real: float, at: Contours) -> Float64[Tensor, "u b"]:
    """The integral of Gamma(s) exp(-s u) E w**-s along a line, from its upper half: the lower one is its conjugate."""
    step = _spacing(abs(real), at.digits)
    y = torch.arange(0, HEIGHT, step, dtype=torch.float64)
    s = torch.complex(torch.full_like(y, real), y)
    weights = gamma(s) * torch.where(y == 0, 0.5, 1.0) * step / math.pi
    values = weights.unsqueeze(-1) * log_moment(-s).exp()
    return (torch.exp(-s * at.u.unsqueeze(-1)) @ values).real


def _spacing(distance: float, digits: float) -> float:
    return 2 * math.pi * distance / digits


def gamma(s: Complex128[Tensor, " y"]) -> Complex128[Tensor, " y"]:
    """The gamma function where Re s > -1."""
    z = torch.where(s.real < 0, s + 1, s) - 1
    series = LANCZOS[0] + sum(c / (z + i) for i, c in enumerate(LANCZOS[1:], 1))
    t = z + 7.5
    found = math.sqrt(2 * math.pi) * torch.exp((z + 0.5) * torch.log(t) - t) * series
    return torch.where(s.real < 0, found / s, found)
