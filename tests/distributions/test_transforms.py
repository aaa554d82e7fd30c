"""Every method and divergence is the same function batched, under vmap, and compiled."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from torch import Tensor

from tests.distributions.families import CLOSED, FAMILIES, Case, cases, key_of, names
from vae_fn import random, tree
from vae_fn.distributions import Distribution, MultivariateNormal, Normal, kl, kl_monte_carlo
from vae_fn.types import Tree

BATCH = 3


def check_vmap(fn: Callable[..., Tensor], *args: Tree) -> None:
    """`vmap(fn)` and a loop of `fn` are `fn` on the batch."""
    batched = fn(*args)
    rows = [fn(*(tree.map(lambda leaf, i=i: leaf[i], arg) for arg in args)) for i in range(BATCH)]
    for other in (torch.func.vmap(fn)(*args), torch.stack(rows)):
        torch.testing.assert_close(other, batched, rtol=1e-13, atol=1e-13)


def batch_of(case: Case) -> Case:
    return Case(case.seed, (BATCH,), case.d, case.shift, case.spread)


def noise_of_batch(q: Distribution, *what: object) -> Tensor:
    return random.draw(key_of("transforms", *what), q.noise_like(), torch.float64)


@pytest.mark.parametrize("family", FAMILIES, ids=names(FAMILIES))
@given(case=cases)
def test_vmap_of_the_methods(family: type, case: Case) -> None:
    q = batch_of(case).make(family, "q")
    noise = noise_of_batch(q, family, case)
    value = q.sample(noise)
    check_vmap(lambda q, noise: q.sample(noise), q, noise)
    check_vmap(lambda q, value: q.log_prob(value), q, value)
    check_vmap(lambda q, noise, value: q.log_prob_from_noise(noise, value), q, noise, value)
    check_vmap(lambda q: q.mean, q)


@pytest.mark.parametrize("pair", CLOSED, ids=names(CLOSED))
@given(case=cases)
def test_vmap_of_the_divergences(pair: tuple[type, type], case: Case) -> None:
    q, p = batch_of(case).make(pair[0], "q"), batch_of(case).make(pair[1], "p")
    check_vmap(kl, q, p)


def test_vmap_of_the_sampled_divergence() -> None:
    q, p = (Case(seed=13, batch=(BATCH,)).make(family, "q") for family in (Normal, MultivariateNormal))
    noise = random.draw(key_of("vmap"), q.noise_like((4,)), torch.float64)
    mapped = torch.func.vmap(kl_monte_carlo, in_dims=(0, 0, 1))(q, p, noise)
    torch.testing.assert_close(mapped, kl_monte_carlo(q, p, noise), rtol=1e-13, atol=1e-13)


def test_a_function_that_mixes_the_batch_is_rejected() -> None:
    q = Case(seed=14, batch=(BATCH,)).make(Normal, "q")
    with pytest.raises(AssertionError):
        check_vmap(
            lambda q, x: Normal(q.loc, q.scale * q.scale.sum() / q.scale.sum(-1, keepdim=True)).log_prob(x), q, q.loc
        )


ULPS = 4
"""Units of float32 rounding, of 1 + the size of the result, that a result may be off by; measured: 2.2 for both."""


def everything(members: dict[str, tuple[Distribution, Tensor]], pairs: dict[str, tuple[Distribution, ...]]) -> Tree:
    """Samples and densities of all families, divergences of all pairs."""
    values = {name: q.sample(noise) for name, (q, noise) in members.items()}
    densities = {name: q.log_prob(values[name]) for name, (q, _) in members.items()}
    from_noise = {name: q.log_prob_from_noise(noise, values[name]) for name, (q, noise) in members.items()}
    return values, densities, from_noise, {name: kl(q, p) for name, (q, p) in pairs.items()}


def all_members() -> tuple[Tree, Tree]:
    """The arguments of `everything`, float64 numbers that float32 holds."""
    case = Case(seed=15, batch=(4,), d=3, spread=0.5)
    qs = {family: case.make(family, "q") for family in FAMILIES}
    noise = {q: random.draw(key_of("compile", q.__name__), qs[q].noise_like(), torch.float64) for q in FAMILIES}
    members = {name: (qs[family], noise[family]) for name, family in zip(names(FAMILIES), FAMILIES, strict=True)}
    pairs = {name: (qs[q], case.make(p, "p")) for name, (q, p) in zip(names(CLOSED), CLOSED, strict=True)}
    return tree.map(lambda leaf: leaf.float().double(), (members, pairs))


def rounded(trees: Tree, dtype: torch.dtype) -> Tree:
    return tree.map(lambda leaf: leaf.to(dtype).float(), trees)


def check_parity(actual: Tree, exact: Tree) -> None:
    for ours, truth in zip(tree.leaves(actual), tree.leaves(exact), strict=True):
        error = (ours.double() - truth).abs() / (1 + truth.abs())
        assert ours.dtype == torch.float32
        assert error.max() <= ULPS * torch.finfo(torch.float32).eps, error.max()


@pytest.mark.filterwarnings("ignore:`torch._prims_common.check`:FutureWarning")  # inductor's own lowering of diagonal
def test_compiled_and_eager_are_right_to_rounding(fresh_compiler: None) -> None:
    arguments = all_members()
    exact = everything(*arguments)
    check_parity(everything(*rounded(arguments, torch.float32)), exact)
    check_parity(torch.compile(everything, fullgraph=True)(*rounded(arguments, torch.float32)), exact)
    with pytest.raises(AssertionError):
        check_parity(everything(*rounded(arguments, torch.bfloat16)), exact)
