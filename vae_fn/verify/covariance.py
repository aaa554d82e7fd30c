"""Whether what a black box draws together is drawn independently, as far as second moments tell."""

from dataclasses import replace
from itertools import combinations

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Key, Tree
from vae_fn.verify import ledger
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.sample import Draw
from vae_fn.verify.sampled import mean
from vae_fn.verify.seeds import name_of
from vae_fn.verify.verdict import Verdict


def uncorrelated(
    draw: Draw,
    expected: Tree,
    *,
    name: str | None = None,
    detect: float = 0.1,
    alpha: float = ledger.ALPHA,
    beta: float = 1e-3,
) -> Verdict:
    """Check that the b parts of every draw, such as the gradients of b examples, are uncorrelated.

    One noise for a whole batch leaves each part's mean and variance as they are; it shows in the products of two. For
    every pair, the inner product of what is left after the means are taken off has mean 0.

    Args:
        draw: `draw(key, n)` gives n independent draws, `(n, b, ...)` in every leaf.
        expected: the exact mean of one draw, `(b, ...)` in every leaf.
        name: of what is checked; by default where `draw` is defined.
        detect: the covariance to be caught, in standard deviations of one such product.
        alpha: the probability of rejecting a true claim.
        beta: the probability of missing a covariance of that size.

    Raises:
        ValueError: there are fewer than two parts, or the leaves do not agree on their number.
    """
    centre = as_tensors(expected)
    parts = {len(leaf) if leaf.ndim else 0 for leaf in tree.leaves(centre)}
    if len(parts) != 1 or min(parts) < 2:
        raise ValueError("give the means of two parts or more, in front of every leaf")
    pairs = torch.tensor([*combinations(range(min(parts)), 2)])

    def products(key: Key, count: int) -> Float64[Tensor, "n p"]:
        off = tree.map(lambda leaf, mean: leaf.double() - mean.double(), draw(key, count), centre)
        rows = torch.cat([leaf.reshape(count, min(parts), -1) for leaf in tree.leaves(off)], 2)
        return (rows[:, pairs[:, 0]] * rows[:, pairs[:, 1]]).sum(-1)

    zero = torch.zeros(len(pairs), dtype=torch.float64)
    verdict = mean(products, zero, name=name_of(draw, name), detect=detect, alpha=alpha, beta=beta)
    return replace(verdict, claim="uncorrelated")
