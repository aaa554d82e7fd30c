"""Two black boxes held against each other: the same mean, and a lower variance."""

import time
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Key, Tree
from vae_fn.verify import ledger
from vae_fn.verify.coordinates import as_tensors, coordinates_of
from vae_fn.verify.sample import Draw
from vae_fn.verify.sampled import confirm, mean, plan
from vae_fn.verify.seeds import key_of, name_of, replay_line
from vae_fn.verify.verdict import Verdict


def same_mean(
    draw: Draw,
    other: Draw,
    *,
    name: str | None = None,
    detect: float = 0.1,
    resolve: float | None = None,
    alpha: float = ledger.ALPHA,
    beta: float = 1e-3,
) -> Verdict:
    """Check that the draws of two black boxes have the same mean: that their independent differences have mean 0.

    Args, results and errors are those of `mean`; `detect` counts standard deviations of the difference. Trees of other
    shapes are a ValueError.
    """
    name = name or f"{name_of(draw, None)} and {name_of(other, None)}"

    def difference(key: Key, count: int) -> Tree:
        one, two = random.split(key)
        return tree.map(_difference, as_tensors(draw(one, count)), as_tensors(other(two, count)))

    zero = _zeros_like_one(draw, name)
    if coordinates_of(zero) != coordinates_of(_zeros_like_one(other, name)):
        raise ValueError("the draws of the two are trees of other shapes, which have no difference")
    verdict = mean(difference, zero, name=name, detect=detect, resolve=resolve, alpha=alpha, beta=beta)
    return replace(verdict, claim="same_mean")


def lower_variance(
    draw: Draw,
    other: Draw,
    *,
    factor: float = 1.0,
    name: str | None = None,
    detect: float = 0.1,
    alpha: float = ledger.ALPHA,
    beta: float = 1e-3,
) -> Verdict:
    """Check that the total variance of a black box, times `factor`, is at most that of another one.

    The total variance is summed over all coordinates. Half the squared distance of two draws has it as its mean, so the
    claim is about the mean of `|b - b'|**2 / 2 - factor |a - a'|**2 / 2`: at least 0. Only a mean below 0 refutes it,
    so a claim with `factor` 1 stands for equal variances too; a claim to be better needs a factor above 1.

    Args:
        draw: `draw(key, n)`, the one that is said to vary less.
        other: what it is compared with.
        factor: by how much, in variances.
        name: of what is checked.
        detect: the shortfall to be caught, in standard deviations of one such difference.
        alpha: the probability of rejecting a true claim.
        beta: the probability of missing a shortfall of that size.

    Raises:
        ValueError: `factor` or `detect` is not positive.
    """
    start = time.perf_counter()
    name, replay = name or f"{name_of(draw, None)} against {name_of(other, None)}", replay_line()
    if not factor > 0:
        raise ValueError(f"factor is a ratio of variances, above 0, not {factor}")
    ledger.assertion("lower_variance", name, alpha, replay)

    def excess(key: Key, count: int) -> Float64[Tensor, " n"]:
        one, two = random.split(key)
        return _half_squares(other(two, 2 * count)) - factor * _half_squares(draw(one, 2 * count))

    sized = plan(1, detect, alpha, beta, sided=1)
    verdict = confirm(excess, torch.zeros((), dtype=torch.float64), sized, "lower_variance", name)
    if verdict.status == "biased":
        verdict = replace(verdict, status="rejected", detail=f"the variance is not lower by a factor of {factor:g}")
    return replace(verdict, alpha=alpha, replay=replay, seconds=time.perf_counter() - start)


def _half_squares(draws: Tree) -> Float64[Tensor, " n"]:
    """Half the squared distance of draw 2i from draw 2i + 1, over all leaves."""
    leaves = tree.leaves(as_tensors(draws))
    distances = [_difference(leaf[0::2], leaf[1::2]).double().reshape(len(leaf) // 2, -1) for leaf in leaves]
    return 0.5 * torch.cat(distances, 1).square().sum(1)


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """One minus the other; integers, which wrap around, and truth values in float64."""
    return one - other if one.is_floating_point() else one.double() - other.double()


def _zeros_like_one(draw: Draw, name: str) -> Tree:
    """Zeros like one draw: the shapes are those of two draws from a key of their own."""
    two = as_tensors(draw(key_of(name, (), "shapes"), 2))
    return tree.map(lambda leaf: torch.zeros(leaf.shape[1:], dtype=torch.float64), two)
