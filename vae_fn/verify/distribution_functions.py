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

from vae_fn.verify import ledger
from vae_fn.verify.coordinates import coordinates_of
from vae_fn.verify.sample import Draw
from vae_fn.verify.seeds import key_of, name_of, replay_line
from vae_fn.verify.verdict import Verdict


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

    A mean sees one number of a law; this sees everything, at the price of draws: 1 / resolve**2 times about 30.

    Args:
        draw: `draw(key, n)` gives n independent draws, a tensor with n in front.
        cdf: of values `(n, *shape)` in float64, elementwise, each coordinate by its own function if it likes;
            continuous but for steps that are small beside `resolve`.
        name: of what is checked; by default where `draw` is defined.
        resolve: the distance between the distribution functions, in probability, to be caught in every coordinate.
        alpha: the probability of rejecting a true claim, for any law and any number of draws.
        beta: the probability of missing such a distance.

    Returns:
        `rejected` where a distance leaves the band, and for draws that are not finite.

    Raises:
        ValueError: `resolve` is not in (0, 1).
    """
    start = time.perf_counter()
    if not 0 < resolve < 1:
        raise ValueError(f"resolve is a distance of probabilities, in (0, 1), not {resolve}")
    name, replay = name_of(draw, name), replay_line()
    ledger.assertion("law", name, alpha, replay)
    shape = tuple(draw(key_of(name, (), "shapes"), 2).shape[1:])
    places = coordinates_of(torch.zeros(shape))
    inside, error = math.sqrt(math.log(2 * places.size / alpha)), math.sqrt(math.log(1 / beta))
    count = math.ceil(((inside + error) / resolve) ** 2 / 2)

    values = draw(key_of(name, (), "law"), count).double()
    ordered = values.sort(0).values
    distances = _distances(ordered, cdf(ordered)).reshape(-1)
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


def _distances(ordered: Float64[Tensor, " n *s"], wanted: Float64[Tensor, " n *s"]) -> Float64[Tensor, "*s"]:
    """The largest distance of each coordinate's empirical distribution function from its values there."""
    ranks = torch.arange(len(ordered) + 1, dtype=torch.float64).reshape(-1, *[1] * (ordered.ndim - 1)) / len(ordered)
    return torch.maximum(wanted - ranks[:-1], ranks[1:] - wanted).amax(0)
