"""What is known of the normal variable's costs, in closed form.

With e the standard normal noise, a = loc - k and s the scale, the quadratic cost is a^2 + 2 a s e + s^2 e^2, so that
every moment is a polynomial in a and s from E e^2, e^4, e^6, ... = 1, 3, 15, 105.
"""

import math
from typing import NamedTuple


def value(cost: str, k: float, loc: float, scale: float) -> float:
    """E f(z): the normal's second moment, its integral against another normal, its characteristic function."""
    if cost == "quadratic":
        return (loc - k) ** 2 + scale**2
    if cost == "exponential":
        spread = 1 + 2 * k * scale**2
        return math.exp(-k * loc**2 / spread) / math.sqrt(spread)
    return math.exp(-0.5 * (k * scale) ** 2) * math.cos(k * loc)


class Variances(NamedTuple):
    """Of one draw of the gradient in loc, and of that in scale."""

    loc: float
    scale: float


def quadratic_variances(a: float, s: float) -> dict[str, Variances]:
    """Of one draw under the quadratic cost (the curves of Mohamed et al. 2020, figure 2).

    pathwise: 2 (a + s e) and 2 (a + s e) e; score: f g with g = e / s and (e^2 - 1) / s; optimal: (f - b) g with
    b = E f g^2 / E g^2; measure-valued: 4 a W / sqrt(2 pi) and 2 a M (1 - U) + s M^2 (1 - U^2), where E W^2 = 2
    (Rayleigh), E M^2 = 3 and E M^4 = 15 (two-sided Maxwell), and U is uniform.
    """
    return {
        "pathwise": Variances(4 * s**2, 4 * a**2 + 8 * s**2),
        "score": Variances(a**4 / s**2 + 14 * a**2 + 15 * s**2, 2 * a**4 / s**2 + 60 * a**2 + 74 * s**2),
        "optimal": Variances(8 * a**2 + 6 * s**2, 40 * a**2 + 24 * s**2),
        "measure-valued": Variances((16 / math.pi - 4) * a**2, 4 * a**2 + 4 * s**2),
    }
