"""What makes scales of raw numbers, held to what `distributions.positive` promises."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn.verify.distributions.comparing import truth
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Verdict

DTYPES = (torch.float64, torch.float32, torch.bfloat16)

CLOSE = 1e-2
"""How far above the floor, relatively, the scale may be at a raw number of -1e4: bfloat16 holds no more digits."""


def scale_map(fn: Callable[[Tensor], Tensor], *, floor: float = 1e-8, name: str | None = None) -> Verdict:
    """Check that a map from raw numbers to scales is safe wherever the raw numbers come from.

    In float64, float32 and bfloat16, at raw numbers of every size and both signs (in bfloat16 at all of them): the
    scale is finite, keeps its dtype, never falls (to one unit of rounding), comes down to the floor and not below it,
    and its derivative lies in [0, 1].

    Args:
        fn: elementwise.
        floor: the least scale.
        name: of the map; by default where it is defined.
    """
    start = time.perf_counter()
    false = [f"{what} in {dtype}" for dtype in DTYPES for what in _broken(fn, _grid(dtype), floor)]
    return truth("scale map", name_of(fn, name), false, since=start)


def _broken(fn: Callable[[Tensor], Tensor], raw: Tensor, floor: float) -> list[str]:
    """What does not hold at raw numbers in increasing order."""
    raw = raw.clone().requires_grad_()
    scale = fn(raw)
    (slope,) = torch.autograd.grad(scale.sum(), raw)
    scale, eps = scale.detach(), torch.finfo(raw.dtype).eps
    lowest = torch.tensor(floor, dtype=raw.dtype)
    at_bottom = scale[raw.detach() <= -1e4]
    holds = {
        "a scale is not finite": scale.isfinite().all(),
        f"a scale is below {floor:g}": (scale >= lowest).all(),
        f"the scale does not come down to {floor:g}": (at_bottom <= lowest * (1 + CLOSE)).all(),
        "the scale falls where the raw number rises": (scale[1:] >= scale[:-1] * (1 - eps)).all(),
        "the derivative is not in [0, 1]": ((slope >= 0) & (slope <= 1)).all(),
        "the dtype is another": torch.tensor(scale.dtype == raw.dtype),
    }
    return [what for what, held in holds.items() if not bool(held)]


def _grid(dtype: torch.dtype) -> Tensor:
    """Finite numbers in increasing order: in bfloat16 all of them, else of every size, densely up to 1100."""
    if dtype == torch.bfloat16:
        points = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    else:
        limits = torch.finfo(dtype)
        exponents = torch.linspace(math.log2(limits.tiny), math.log2(limits.max), 2001, dtype=torch.float64)
        sizes = torch.cat([2.0**exponents, torch.linspace(0, 1100, 11_001, dtype=torch.float64)])
        near = torch.cat([sizes, -sizes]).to(dtype)
        points = torch.cat([near, torch.nextafter(near, torch.full_like(near, math.inf))])
    return points[points.isfinite()].sort().values
