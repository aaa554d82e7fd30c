"""Components of variance against numpy's, and against a law whose components are known."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.lab import analysis, streaming


def summed(gradients, reference):
    """The sums over the draws of one datum; gradients are a matrix of draws by coordinates."""
    return streaming.sums(gradients[:, 0], {"q": {"loc": gradients}}, {"q": {"loc": reference}})


def analysed(table, reference):
    """The analysis of a table `(data, draws, coordinates)`."""
    total = None
    for rows in table:
        part = analysis.datum(summed(rows, reference), len(rows))
        total = part if total is None else analysis.add(total, part)
    return analysis.analyse(total, table.shape[1], {"q": {"loc": reference}})


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6), st.integers(1, 3), st.sampled_from([0.0, 1e4]))
def test_mean_squares_are_those_of_the_textbook(seed, data, draws, size, offset):
    table = random.normal(random.key(seed), (data, draws, size), torch.float64) + offset
    found = analysed(table, torch.full((size,), offset, dtype=torch.float64))
    array = table.numpy()
    within = array.var(1, ddof=1).mean(0)
    between = draws * array.mean(1).var(0, ddof=1)
    np.testing.assert_allclose(found.mean["q"]["loc"], array.mean((0, 1)), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(found.noise["q"]["loc"], within, rtol=1e-8)
    np.testing.assert_allclose(found.between["q"]["loc"], (between - within) / draws, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.value, array[..., 0].mean(), rtol=1e-10, atol=1e-9)
    assert found.draws == data * draws


def test_a_variance_far_below_the_mean_is_not_lost():
    """About 0 the squares would cancel: 1e-12 of the mean squared is below float32's rounding."""
    noise = random.normal(random.key(0), (4, 500, 1), torch.float64)
    found = analysed(1e3 + 1e-6 * noise, torch.full((1,), 1e3, dtype=torch.float64))
    assert abs(found.noise["q"]["loc"].item() / 1e-12 - 1) < 0.2
    lost = analysed((1e3 + 1e-6 * noise).float(), torch.zeros(1)).noise["q"]["loc"].item()
    assert abs(lost / 1e-12 - 1) > 0.2


def test_of_one_datum_nothing_is_said_between():
    found = analysed(random.normal(random.key(0), (1, 9, 2), torch.float64), torch.zeros(2, dtype=torch.float64))
    assert bool(found.between["q"]["loc"].isnan().all())
