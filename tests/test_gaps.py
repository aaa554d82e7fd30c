"""No gap of two trees passes a bound where a leaf is not a number."""

import math

import pytest
import torch

from tests.compiling import test_factorised
from tests.gaps import largest
from tests.gradients.oracles import cases
from tests.training import members

GAPS = {"members": members.largest_gap, "oracles": cases.gap, "factorised": test_factorised.gap}


def test_the_largest():
    assert largest([1.0, torch.tensor(3.0), 2.0]) == 3.0
    assert math.isnan(largest([1.0, math.nan, 2.0]))
    assert math.isnan(largest([math.nan, 1.0]))


@pytest.mark.parametrize("gap", GAPS.values(), ids=GAPS.keys())
@pytest.mark.parametrize("leaf", range(3))
def test_a_leaf_that_is_not_a_number_is_no_small_gap(gap, leaf):
    exact = [torch.ones(2).double() for _ in range(3)]
    assert gap(exact, exact) == 0
    assert not gap([other * math.nan if i == leaf else other for i, other in enumerate(exact)], exact) < 1
