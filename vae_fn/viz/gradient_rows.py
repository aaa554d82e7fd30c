"""Rows of `vae-fn gradients`, and what of them counts as noise and as bias, in tables and figures alike."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
"""As in the JSON of `vae-fn gradients`."""

ROUNDING = 1e-12
"""A variance below this part of the largest of its group is one of rounding."""

BEYOND = 4
"""How many times what noise alone gives it a bias is one that is seen: less than once in 10^4 rows without bias."""

NEGLIGIBLE = 1e-5
"""Of the exact gradient, below which a bias is not looked at: it may be float32's rounding."""


def with_noise(rows: Rows) -> list[Mapping[str, Any]]:
    """The rows whose noise has a variance, and a finite one, beyond what rounding leaves of none."""
    largest: dict[str, float] = {}
    finite = [row for row in rows if row["variance"] is not None]
    for row in finite:
        largest[row["group"]] = max(row["variance"], largest.get(row["group"], 0.0))
    return [row for row in finite if row["variance_noise"] > ROUNDING * largest[row["group"]]]


def biased(row: Mapping[str, Any]) -> bool:
    """Whether a bias is beyond what noise alone gives, and beyond the rounding of float32."""
    seen = row["bias"] is not None and row["bias"] > BEYOND * row["bias_se"]
    return seen and (row["relative_bias"] is None or row["relative_bias"] > NEGLIGIBLE)


def work(row: Mapping[str, Any], by: str = "milliseconds") -> float:
    """The variance of the noise, times the milliseconds or the evaluations that a gradient takes; inf of no number."""
    cost = row["milliseconds"] if by == "milliseconds" else row["forward"] + row["backward"]
    return math.inf if row["variance_noise"] is None else row["variance_noise"] * cost
