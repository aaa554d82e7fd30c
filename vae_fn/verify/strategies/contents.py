"""What a tensor holds: of a kind and a scale, from a seed."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import random
from vae_fn.types import Shape

Kind = Literal["normal", "zeros", "constant", "spike", "subnormal", "extreme", "nonfinite"]

KINDS: tuple[Kind, ...] = ("normal", "zeros", "constant", "spike", "subnormal", "extreme")
"""The kinds that are finite; `nonfinite` is for those who ask."""

SCALES = (1.0, 0.0, 1e-6, 1e-2, 10.0, 1e3)
"""What the contents are multiplied by, from the simplest to the largest."""

SPIKE = 1e3
"""The entry of a spike, in scales."""


def contents(
    seed: int, shape: Shape = (), dtype: torch.dtype = torch.float32, kind: Kind = "normal", scale: float = 1.0
) -> Float[Tensor, "..."]:
    """A tensor from a seed; in all floating dtypes alike up to rounding, and to the largest number of the dtype.

    - `normal`: standard normals times the scale;
    - `zeros`;
    - `constant`: the scale everywhere;
    - `spike`: zeros, and one entry of 1000 scales, of either sign;
    - `subnormal`: the smallest positive numbers of the dtype, up to 8 of them, of both signs;
    - `extreme`: half the largest number of the dtype, of both signs;
    - `nonfinite`: normals times the scale, of which about a quarter is NaN, inf or -inf, and the first is NaN.

    Raises:
        TypeError: the dtype is not floating.
    """
    if not dtype.is_floating_point:
        raise TypeError(f"contents are floating numbers, and {dtype} is not: make integers of them yourself")
    noise = random.normal(random.fold_in(random.key(seed), 0), shape)
    place = random.uniform(random.fold_in(random.key(seed), 1), shape)
    limits = torch.finfo(dtype)
    made = _MAKERS[kind](noise, place, limits, scale)
    return (made if kind == "nonfinite" else made.double().clamp(-limits.max, limits.max)).to(dtype)


_Maker = Callable[[Tensor, Tensor, torch.finfo, float], Tensor]


def _spike(noise: Tensor, place: Tensor, limits: torch.finfo, scale: float) -> Tensor:
    one = place == place.max() if place.numel() else place.bool()
    return torch.where(one, torch.copysign(torch.tensor(SPIKE * scale), noise), 0.0)


def _nonfinite(noise: Tensor, place: Tensor, limits: torch.finfo, scale: float) -> Tensor:
    values = scale * noise
    for edge, value in ((0.25, -math.inf), (0.16, math.inf), (0.08, math.nan)):
        values = torch.where(place < edge, value, values)
    return torch.where(torch.arange(values.numel()).reshape(values.shape) == 0, math.nan, values)


_MAKERS: dict[str, _Maker] = {
    "normal": lambda noise, place, limits, scale: scale * noise,
    "zeros": lambda noise, place, limits, scale: torch.zeros_like(noise),
    "constant": lambda noise, place, limits, scale: torch.full_like(noise, scale),
    "spike": _spike,
    "subnormal": lambda noise, place, limits, scale: (
        noise.sign().double() * (1 + torch.floor(8 * place.double())) * limits.smallest_normal * limits.eps
    ),
    "extreme": lambda noise, place, limits, scale: noise.sign().double() * (limits.max / 2),
    "nonfinite": _nonfinite,
}
