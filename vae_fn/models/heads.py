"""Heads: from the raw outputs of a network to a distribution, in float32 or wider whatever the trunk computes in."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vae_fn.distributions import Bernoulli, Categorical, Family, Laplace, Logistic, MultivariateNormal, Normal, positive


class Head(NamedTuple):
    """How many raw outputs an event of `d` dimensions takes, and the distribution that they parametrise."""

    width: Callable[[int], int]
    apply: Callable[[Float[Tensor, "*b raw"]], Family]


def _wide(raw: Float[Tensor, "*b raw"]) -> Float[Tensor, "*b raw"]:
    if raw.dtype == torch.float16:
        raise TypeError("networks in float16 overflow at 65504 and are refused: compute in bfloat16 or float32")
    return raw.to(torch.promote_types(raw.dtype, torch.float32))


def _location_scale(family: Callable[[Tensor, Tensor], Family]) -> Head:
    def apply(raw: Float[Tensor, "*b raw"]) -> Family:
        loc, scale = _wide(raw).chunk(2, -1)
        return family(loc, positive(scale))

    return Head(lambda d: 2 * d, apply)


normal = _location_scale(Normal)
"""Means, then raw scales: N(loc, softplus(raw) + 1e-8); the tutorial's encoder."""

laplace = _location_scale(Laplace)
"""Locations, then raw scales of independent Laplace coordinates."""

logistic = _location_scale(Logistic)
"""Locations, then raw scales of independent logistic coordinates."""

bernoulli = Head(lambda d: d, lambda raw: Bernoulli(_wide(raw)))
"""Logits of independent bits; the tutorial's decoder, without its sigmoid."""


def categorical(classes: int) -> Head:
    """Logits of one-hot variables with `classes` classes each, variable by variable.

    Raises:
        ValueError: there are fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"a variable with {classes} classes says nothing: give at least 2")
    return Head(lambda d: d * classes, lambda raw: Categorical(_wide(raw).unflatten(-1, (-1, classes))))


def fixed_normal(scale: float) -> Head:
    """Means of normals with one fixed standard deviation: squared error with its constant, in nats.

    Raises:
        ValueError: the standard deviation is not positive.
    """
    if not scale > 0:
        raise ValueError(f"a standard deviation is positive, got {scale}")

    def apply(raw: Float[Tensor, "*b d"]) -> Family:
        loc = _wide(raw)
        return Normal(loc, torch.full_like(loc, scale))

    return Head(lambda d: d, apply)


def _full_normal(raw: Float[Tensor, "*b raw"]) -> Family:
    wide = _wide(raw)
    d = int((9 + 8 * wide.shape[-1]) ** 0.5 - 3) // 2
    loc, diagonal, below = wide.split([d, d, d * (d - 1) // 2], -1)
    # Entry (i, j) below the diagonal is number i (i - 1) / 2 + j; everything else reads the zero put in front.
    column = torch.arange(d, device=raw.device)
    row = column.unsqueeze(-1)
    place = torch.where(row > column, row * (row - 1) // 2 + column + 1, 0)
    strict = F.pad(below, (1, 0))[..., place]
    return MultivariateNormal(loc, strict + torch.diag_embed(positive(diagonal)))


full_normal = Head(lambda d: d + d * (d + 1) // 2, _full_normal)
"""Means, raw diagonal scales, then the entries below the diagonal row by row: a full lower-triangular scale."""
