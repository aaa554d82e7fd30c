"""Which part of a discrete code is in use."""

import numpy as np

from tests.viz.cases import ONES, SHARES
from vae_fn import viz


def test_bits_that_hardly_change_are_counted():
    assert viz.constant_bits(np.array([0.0, 0.005, 0.02, 0.5, 0.98, 0.995, 1.0])) == 4


def test_classes_in_use_are_counted_by_their_entropy():
    shares = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    np.testing.assert_allclose(viz.used_classes(shares), [1, 2, 4])
    assert 2 < viz.used_classes(np.array([[0.5, 0.3, 0.2]]))[0] < 3


def test_bits_are_drawn_as_counts():
    axes = viz.code_usage([ONES]).axes[0]
    filled, outline = (patch.get_data() for patch in axes.patches)
    assert filled.values.sum() == outline.values.sum() == 40
    assert outline.values[:7].sum() == 0


def test_shares_are_drawn_on_one_scale():
    left, right = (axes.images[0] for axes in viz.code_usage([SHARES]).axes[:2])
    np.testing.assert_array_equal(left.get_array(), SHARES.posterior)
    np.testing.assert_array_equal(right.get_array(), SHARES.prior)
    assert left.get_clim() == right.get_clim() == (0, max(SHARES.posterior.max(), 0.2))
