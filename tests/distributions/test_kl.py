"""The divergences against quadrature and enumeration in float64, their sign, shapes and errors."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.distributions import quadrature
from tests.distributions.families import CLOSED, FAMILIES, OPEN, Case, cases, names, value_and_gradients
from vae_fn import tree
from vae_fn.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Laplace,
    Logistic,
    MultivariateNormal,
    NoClosedFormError,
    Normal,
    has_closed_form,
    kl,
    kl_by_dimension,
)
from vae_fn.distributions.kl import BY_DIMENSION, DISCRETE, JOINT

Divergence = Callable[[Distribution, Distribution], Tensor]

pairs = pytest.mark.parametrize("pair", CLOSED, ids=names(CLOSED))
SAME = tuple((family, family) for family in FAMILIES if (family, family) in CLOSED)
"""Pairs of one family, which are zero at equality."""


def assert_close(actual: Tensor, expected: Tensor, size: Tensor | float = 0.0) -> None:
    """Equal to rel 1e-10 or abs 1e-13, for numbers that come out of terms of the given size."""
    assert actual.shape == expected.shape
    slack = 1e-13 + 1e-10 * torch.maximum(expected.abs(), torch.as_tensor(size))
    assert bool(((actual - expected).abs() <= slack).all()), (actual, expected)


def check_closed_form(divergence: Divergence, oracle: Divergence, q: Distribution, p: Distribution) -> None:
    """Value and gradient; a derivative is a difference of terms of the size of the value."""
    value, gradients = value_and_gradients(divergence, q, p)
    expected, expected_gradients = value_and_gradients(oracle, q, p)
    assert_close(value, expected)
    for actual, wanted in zip(gradients, expected_gradients, strict=True):
        assert_close(actual, wanted, expected.abs().max())


@pairs
@given(case=cases)
def test_kl_is_the_integral(pair: tuple[type, type], case: Case) -> None:
    check_closed_form(kl, quadrature.kl, case.make(pair[0], "q"), case.make(pair[1], "p"))


@pytest.mark.parametrize("pair", BY_DIMENSION, ids=names(tuple(BY_DIMENSION)))
@given(case=cases)
def test_kl_by_dimension_is_the_integral(pair: tuple[type, type], case: Case) -> None:
    check_closed_form(
        kl_by_dimension, quadrature.kl_by_dimension, case.make(pair[0], "q"), case.make(pair[1], "p", batch=())
    )


def without_gradient_of_the_last_parameter(q: Distribution, p: Distribution) -> Tensor:
    return kl(type(q)(*q[:-1], q[-1].detach()), p)


KL_MUTANTS: dict[str, Divergence] = {
    "a billionth too large": lambda q, p: kl(q, p) * (1 + 1e-9),
    "a constant too much": lambda q, p: kl(q, p) + 1e-9,
    "variance for scale": lambda q, p: kl(type(q)(*q[:-1], q[-1] ** 2), p),
    "a parameter held": without_gradient_of_the_last_parameter,
}


@pairs
@pytest.mark.parametrize("mutant", KL_MUTANTS.values(), ids=KL_MUTANTS)
def test_a_wrong_kl_is_rejected(mutant: Divergence, pair: tuple[type, type]) -> None:
    case = Case(seed=1)
    with pytest.raises(AssertionError):
        check_closed_form(mutant, quadrature.kl, case.make(pair[0], "q"), case.make(pair[1], "p"))


@given(case=cases)
def test_reversed_arguments_are_rejected(case: Case) -> None:
    q, p = (Normal(f.loc + i, f.scale * (1 + i)) for i, f in enumerate(case.make(Normal, r) for r in "qp"))
    with pytest.raises(AssertionError):
        check_closed_form(lambda q, p: kl(p, q), quadrature.kl, q, p)


def near(q: Distribution, distance: float, case: Case) -> Distribution:
    """Q with each parameter moved by at most this relative distance."""
    parts = [leaf * (1 + distance * case.tensor(f"near {i}", leaf.shape).to(leaf.dtype)) for i, leaf in enumerate(q)]
    return type(q)(*parts)


def slack(q: Distribution, distance: float) -> float:
    """What rounding may take below zero, per example: 4 ulp of the distance, or of 1 for the discrete families."""
    ulps = 4 * torch.finfo(q[0].dtype).eps * q[0].shape[-q.event_ndim :].numel()
    return ulps if isinstance(q, DISCRETE) else ulps * distance


def check_not_negative(divergence: Divergence, q: Distribution, p: Distribution, distance: float) -> None:
    value = divergence(q, p)
    assert bool((value >= -slack(q, distance)).all()), value


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("pair", SAME, ids=names(SAME))
@given(case=cases, distance=st.sampled_from([1e-1, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9, 1e-12]))
def test_kl_is_not_negative_near_equality(
    pair: tuple[type, type], dtype: torch.dtype, case: Case, distance: float
) -> None:
    q = tree.map(lambda leaf: leaf.to(dtype), case.make(pair[0], "q"))
    distance = max(distance, torch.finfo(dtype).eps)
    check_not_negative(kl, q, near(q, distance, case), distance)


@pairs
@given(case=cases)
def test_kl_is_positive_between_different_members(pair: tuple[type, type], case: Case) -> None:
    q, p = case.make(pair[0], "q"), case.make(pair[1], "p")
    different = pair[0] is not pair[1] and not {Normal, MultivariateNormal} >= set(pair)
    for dtype in (torch.float32, torch.float64):
        q_cast, p_cast = (tree.map(lambda leaf, dtype=dtype: leaf.to(dtype), f) for f in (q, p))
        value = kl(q_cast, p_cast)
        assert bool((value >= -slack(q_cast, case.spread)).all())
        assert bool((value > 0).all()) or not (different or case.shift > 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("pair", SAME, ids=names(SAME))
@given(case=cases)
def test_kl_is_exactly_zero_at_equality(pair: tuple[type, type], dtype: torch.dtype, case: Case) -> None:
    q = tree.map(lambda leaf: leaf.to(dtype), case.make(pair[0], "q"))
    assert torch.equal(kl(q, q), torch.zeros(case.batch, dtype=dtype))


@given(case=cases)
def test_a_diagonal_matrix_is_the_diagonal_normal(case: Case) -> None:
    q, p = (case.make(Normal, role) for role in "qp")
    full_q, full_p = (MultivariateNormal(f.loc, torch.diag_embed(f.scale)) for f in (q, p))
    for mixed in (kl(full_q, p), kl(q, full_p), kl(full_q, full_p)):
        torch.testing.assert_close(mixed, kl(q, p), rtol=1e-14, atol=1e-14)
    for none in (kl(full_q, q), kl(q, full_q)):
        assert torch.equal(none, torch.zeros(case.batch, dtype=torch.float64))


def naive_normal(q: Normal, p: Normal) -> Tensor:
    second_moment = (q.scale**2 + (q.loc - p.loc) ** 2) / p.scale**2
    return (0.5 * second_moment - 0.5 + p.scale.log() - q.scale.log()).sum(-1)


@pytest.mark.parametrize("mutant", [naive_normal, lambda q, p: -kl(q, p)], ids=["cancelling", "negative"])
def test_a_kl_that_falls_below_zero_is_rejected(mutant: Divergence) -> None:
    case = Case(seed=2, batch=(64,))
    q = tree.map(lambda leaf: leaf.to(torch.float32), case.make(Normal, "q"))
    with pytest.raises(AssertionError):
        check_not_negative(mutant, q, near(q, 1e-4, case), 1e-4)


@pairs
def test_batches_broadcast(pair: tuple[type, type]) -> None:
    case = Case(seed=3)
    for batch_q, batch_p in (((4,), ()), ((), (4,)), ((2, 4), (4,))):
        q, p = case.make(pair[0], "q", batch_q), case.make(pair[1], "p", batch_p)
        batch = torch.broadcast_shapes(batch_q, batch_p)
        wide = [
            tree.map(lambda leaf, b=batch, f=f: leaf.expand(*b, *leaf.shape[leaf.ndim - rank(f, leaf) :]), f)
            for f in (q, p)
        ]
        assert kl(q, p).shape == batch
        assert torch.allclose(kl(q, p), kl(*wide), rtol=1e-14, atol=1e-14)


def rank(f: Distribution, leaf: Tensor) -> int:
    """The number of event axes of a parameter."""
    return 2 if isinstance(f, MultivariateNormal) and leaf is f[1] else f.event_ndim


@pytest.mark.parametrize("pair", OPEN, ids=names(OPEN))
def test_a_pair_without_a_formula_says_what_to_do(pair: tuple[type, type]) -> None:
    q, p = Case(seed=4).make(pair[0], "q"), Case(seed=4).make(pair[1], "p")
    assert not has_closed_form(q, p)
    for divergence in (kl, kl_by_dimension):
        with pytest.raises(
            NoClosedFormError, match=rf"KL\({pair[0].__name__} \|\| Logistic\).*kl_monte_carlo\(q, p, noise"
        ):
            divergence(q, p)


@pytest.mark.parametrize(
    "pair", [(Bernoulli, Normal), (Laplace, Categorical), (Bernoulli, Categorical), (MultivariateNormal, Bernoulli)]
)
def test_different_supports_are_refused(pair: tuple[type, type]) -> None:
    q, p = Case(seed=5).make(pair[0], "q"), Case(seed=5).make(pair[1], "p")
    assert not has_closed_form(q, p)
    with pytest.raises(NoClosedFormError, match="different supports") as error:
        kl(q, p)
    assert "kl_monte_carlo" not in str(error.value)


@pytest.mark.parametrize("pair", JOINT, ids=names(tuple(JOINT)))
def test_joint_pairs_do_not_split_over_dimensions(pair: tuple[type, type]) -> None:
    q, p = Case(seed=6).make(pair[0], "q"), Case(seed=6).make(pair[1], "p")
    assert has_closed_form(q, p)
    with pytest.raises(NoClosedFormError, match=r"does not split over latent dimensions: use kl\(q, p\)"):
        kl_by_dimension(q, p)


def test_the_pairs_with_a_formula_are_all_that_have_one() -> None:
    continuous = [(q, p) for q in FAMILIES for p in FAMILIES if not {q, p} & set(DISCRETE)]
    assert set(CLOSED) == {*continuous, (Bernoulli, Bernoulli), (Categorical, Categorical)} - set(OPEN)


@pytest.mark.parametrize("family", [Normal, Laplace, Logistic])
def test_a_shared_scale_is_a_scale_for_each_dimension(family):
    loc, shared = torch.tensor([0.2, -0.4, 1.0]).double(), torch.tensor([0.6]).double()
    p = MultivariateNormal(torch.zeros(3).double(), (torch.eye(3) + torch.ones(3, 3).tril(-1)).double())
    torch.testing.assert_close(kl(family(loc, shared), p), kl(family(loc, shared.expand(3)), p), rtol=1e-14, atol=0)
