"""Formulas of factors against the matrices themselves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.compiling.low_rank import factors
from vae_fn.compiling.low_rank.factors import Factors

FORMULAS = {
    "total": (lambda x, y, v: factors.total(x), lambda g, h, v: g.sum(0)),
    "against": (lambda x, y, v: factors.against(x, v), lambda g, h, v: (g * v).sum((1, 2))),
    "inner": (lambda x, y, v: factors.inner(x, y), lambda g, h, v: (g * h).sum((1, 2))),
    "square": (lambda x, y, v: factors.inner(x, x), lambda g, h, v: (g**2).sum((1, 2))),
    "moment": (lambda x, y, v: factors.moment(x, y), lambda g, h, v: (g * h).sum(0)),
    "square moment": (lambda x, y, v: factors.square_moment(x), lambda g, h, v: (g**2).sum(0)),
    "plus": (lambda x, y, v: factors.dense(factors.plus(x, y)), lambda g, h, v: g + h),
    "swapped": (lambda x, y, v: factors.dense(factors.swapped(x)), lambda g, h, v: g.mT),
}


def of(seed, b, r, m, n, offset):
    shapes = ((b, r, m), (b, r, n), (m, n))
    left, right, constant = (
        random.normal(random.fold_in(random.key(seed), i), s, torch.float64) for i, s in enumerate(shapes)
    )
    return Factors(left, right, constant if offset else None)


@given(st.integers(0, 99), *[st.integers(1, 4)] * 5, st.booleans(), st.booleans())
def test_formulas_are_those_of_the_matrices(seed, b, r, s, m, n, first, second):
    x, y, v = of(seed, b, r, m, n, first), of(seed + 100, b, s, m, n, second), of(seed + 200, b, 1, m, n, True).offset
    for formula, plain in FORMULAS.values():
        torch.testing.assert_close(
            formula(x, y, v), plain(factors.dense(x), factors.dense(y), v), rtol=1e-10, atol=1e-12
        )


MUTANTS = {
    "pairs once": lambda x: factors.total(Factors((x.left**2), (x.right**2))),
    "the offset's square left out": lambda x: factors.square_moment(x) - len(x.left) * x.offset**2,
    "the offset once": lambda x: factors.square_moment(x) - x.offset * factors.total(x._replace(offset=None)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_wrong_second_moments_are_seen(mutant):
    x = of(1, 3, 2, 4, 5, True)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(MUTANTS[mutant](x), (factors.dense(x) ** 2).sum(0), rtol=1e-10, atol=1e-12)


def narrow(x):
    return Factors(x.left.float(), x.right.float(), None if x.offset is None else x.offset.float())


def exact(formula, x):
    return formula(factors.wide(x))


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_rows_that_cancel_keep_the_digits_of_float32(gap):
    """Two rows of opposite sign: squares of their difference are right where float32 squares of either are not."""
    x = of(2, 8, 1, 16, 16, False)
    moved = torch.cat([x.right, -(1 + gap) * x.right], 1)
    x = narrow(Factors(x.left.expand(-1, 2, -1), moved))
    for formula in (lambda x: factors.inner(x, x), factors.square_moment):
        torch.testing.assert_close(formula(x).double(), exact(formula, x), rtol=1e-6, atol=0)
    lost = (x.left @ x.left.mT * (x.right @ x.right.mT)).sum((1, 2))
    assert (lost.double() / exact(lambda x: factors.inner(x, x), x) - 1).abs().max() > 1e-3


@pytest.mark.parametrize("spread", [1e-2, 1e-5])
def test_variances_far_below_the_mean_are_those_of_the_float32_gradients(spread):
    """About an offset near the mean: no worse than gradients that are formed in float32 and moved."""
    fixed, noise = of(3, 1, 1, 16, 16, False), of(4, 500, 1, 16, 16, False)
    x = narrow(Factors(fixed.left + spread * noise.left, fixed.right.expand(500, -1, -1)))
    x = x._replace(offset=-factors.dense(narrow(fixed))[0])
    right = exact(lambda x: (factors.dense(x) ** 2).sum(0), x)
    formed = ((x.left.mT @ x.right + x.offset) ** 2).sum(0).double()
    ours, theirs = ((found / right - 1).abs() for found in (factors.square_moment(x), formed))
    assert ours.max() < 1e-6 or ours.max() < theirs.max()
    in_float32 = torch.einsum("brm,brn->mn", x.left**2, x.right**2) + x.offset * (
        2 * torch.einsum("brm,brn->mn", x.left, x.right) + 500 * x.offset
    )
    assert (in_float32.double() / right - 1).abs().max() > 1e-3
