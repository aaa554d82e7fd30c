"""The law of a black box against a distribution function: the band of Dvoretzky, Kiefer and Wolfowitz.

With Massart's constant (1990), the largest distance of n draws' distribution function from their law's exceeds eps with
a probability of at most 2 exp(-2 n eps**2), for every law and every n.
"""

import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn.types import Key
from vae_fn.verify import ledger
from vae_fn.verify.coordinates import coordinates_of
from vae_fn.verify.sample import Draw
from vae_fn.verify.seeds import key_of, name_of, replay_line
from vae_fn.verify.verdict import Verdict

MOST = 10**8
"""The most numbers that are drawn."""


def law(
    draw: Draw,
    cdf: Callable[[Tensor], Tensor],
    *,
    name: str | None = None,
    resolve: float = 0.01,
    alpha: float = ledger.ALPHA,
    beta: float = 1e-3,
) -> Verdict:
    """Check that each coordinate of the draws of a black box has a distribution function.

    A mean sees one number of a law; this sees everything, at the price of draws: 1 / resolve**2 times about 30. The law
    may have masses at points.

    Args:
        draw: `draw(key, n)` gives n independent draws, a tensor with n in front.
        cdf: P(X <= x) of values x `(n, *shape)` in float64, elementwise, each coordinate by its own function if it
            likes.
        name: of what is checked; by default where `draw` is defined.
        resolve: the distance between the distribution functions, in probability, to be caught in every coordinate.
        alpha: the probability of rejecting a true claim, for any law and any number of draws.
        beta: the probability of missing such a distance.

    Returns:
        `rejected` where a distance leaves the band, and for draws that are not finite; `underpowered` where `resolve`
        is out of reach.

    Raises:
        TypeError: the draws are no tensor.
        ValueError: `resolve`, `alpha` or `beta` is not in (0, 1), or there are not n draws.
    """
    start = time.perf_counter()
    if not 0 < resolve < 1:
        raise ValueError(f"resolve is a distance of probabilities, in (0, 1), not {resolve}")
    name, replay = name_of(draw, name), replay_line()
    ledger.assertion("law", name, alpha, replay)
    ledger.check_error("beta", beta)
    shape = tuple(_drawn(draw, key_of(name, (), "shapes"), 2).shape[1:])
    places = coordinates_of(torch.zeros(shape))
    inside, error = math.sqrt(math.log(2 * places.size / alpha)), math.sqrt(math.log(1 / beta))
    count = math.ceil(((inside + error) / resolve) ** 2 / 2)

    if count * places.size > MOST:
        detail = f"it would take {count} draws, more than {MOST // places.size}: ask for a larger distance"
        return Verdict("law", name, "bounded", "underpowered", detail, alpha=alpha, replay=replay)

    values = _drawn(draw, key_of(name, (), "law"), count)
    distances = _distances(values.sort(0).values, cdf).reshape(-1)
    at = int(distances.nan_to_num(torch.inf).argmax())
    distance, band = float(distances[at]), inside / math.sqrt(2 * count)
    detail = f"the distribution functions are {distance:.4g} apart at {places.name(at)}, the band is {band:.4g}"
    return Verdict(
        "law",
        name,
        "bounded",
        "passed" if distance <= band and bool(values.isfinite().all()) else "rejected",
        detail,
        gap=distance,
        resolvable=resolve,
        coordinate=places.name(at),
        draws=count,
        stage=1,
        statistic=distance / band,
        alpha=alpha,
        seconds=time.perf_counter() - start,
        replay=replay,
    )


def _drawn(draw: Draw, key: Key, count: int) -> Float64[Tensor, " n *s"]:
    values = draw(key, count)
    if not isinstance(values, Tensor) or values.is_complex():
        raise TypeError("a law is checked of draws that are one real tensor with n in front: take the leaves in turn")
    if values.ndim == 0 or len(values) != count:
        raise ValueError(f"{count} draws have {count} in front of their shape, and these are {tuple(values.shape)}")
    return values.double()


def _distances(ordered: Float64[Tensor, " n *s"], cdf: Callable[[Tensor], Tensor]) -> Float64[Tensor, "*s"]:
    """The largest distance of each coordinate's empirical distribution function from its law's, at and below draws."""
    lines = ordered.movedim(0, -1).contiguous()
    ranks = (torch.searchsorted(lines, lines, right=right).movedim(-1, 0).double() for right in (False, True))
    below, at = (rank / len(ordered) for rank in ranks)
    just_below = ordered.nextafter(torch.full_like(ordered, -torch.inf))
    return torch.maximum(cdf(just_below) - below, at - cdf(ordered)).amax(0)
