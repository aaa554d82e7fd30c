"""Two computations of the same numbers, held against each other with a stated tolerance for each."""

import time

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Tree
from vae_fn.verify.coordinates import coordinates_of, expand_like, vector
from vae_fn.verify.verdict import Tier, Verdict


def compare(
    claim: str,
    name: str,
    seen: Tree,
    expected: Tree,
    allowed: Tree | float,
    *,
    since: float,
    tier: Tier = "deterministic",
    draws: int = 0,
) -> Verdict:
    """The verdict that `seen` is `expected`, coordinate by coordinate.

    Args:
        claim: what is claimed.
        name: of what.
        seen: a tree of numbers.
        expected: a tree like it; where both are the same infinity they agree.
        allowed: how far they may lie apart: a tree like them, or one number.
        since: when the check began.
        tier: `exact` where `expected` is an integral.
        draws: how many draws or nodes went into it.
    """
    coordinates = coordinates_of(expected)
    exact, ours, slack = vector(expected), vector(seen), vector(expand_like(allowed, expected))
    gap = torch.where(exact == ours, 0.0, (exact - ours).abs()).nan_to_num(torch.inf, posinf=torch.inf)
    at = int((gap / slack).argmax())
    passed = bool((gap <= slack).all())
    said = f"{float(ours[at]):.9g} where {float(exact[at]):.9g} is expected, at {coordinates.name(at)}"
    return Verdict(
        claim,
        name,
        tier,
        "passed" if passed else "rejected",
        f"within {float(gap.max()):.1e}" if passed else said,
        gap=float(gap[at]),
        resolvable=float(slack[at]),
        coordinate=coordinates.name(at),
        draws=draws,
        seconds=time.perf_counter() - since,
    )


def truth(claim: str, name: str, false: list[str], *, since: float) -> Verdict:
    """The verdict that nothing was found false."""
    status, detail = ("rejected", "; ".join(false)) if false else ("passed", "as promised")
    return Verdict(claim, name, "deterministic", status, detail, seconds=time.perf_counter() - since)


def size(leaf: Tensor) -> Float64[Tensor, "..."]:
    """1 and the largest absolute value of a tensor, for all of its coordinates."""
    largest = leaf.detach().double().abs().nan_to_num(0.0, posinf=0.0).amax() if leaf.numel() else torch.zeros(())
    return (1 + largest).double().expand(leaf.shape)


def sizes(*trees: Tree) -> Tree:
    """The largest `size` of the leaves at each place of several trees."""
    return tree.map(lambda *leaves: torch.stack([size(leaf) for leaf in leaves]).amax(0), *trees)
