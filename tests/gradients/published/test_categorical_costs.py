"""One-hot variables: the exact gradient by hand, and where straight-through gradients and ReinMax reach it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gradients.published.integration import assert_gradient_of, over_states
from vae_fn.errors import UserError
from vae_fn.gradients.published import CategoricalCosts

COSTS = {"linear": 1, "quadratic": 2, "cubic": 3}
OPTIONS = {"cost": st.sampled_from(sorted(COSTS)), "classes": st.integers(2, 7), "key": st.integers(0, 100)}


def law(power: int, classes: int):
    """sum_c p_c (c / C)^power."""

    def value(params) -> float:
        weights = np.exp(params["q"]["logits"].numpy().squeeze(0))
        return (weights / weights.sum()) @ (np.arange(1, classes + 1) / classes) ** power

    return value


@given(**OPTIONS)
def test_mean_and_gradient_are_those_by_hand(cost, classes, key):
    posed, power = CategoricalCosts(cost, classes, key).make(), COSTS[cost]
    assert_gradient_of(over_states(posed.problem), law(power, classes), posed.params)
    p = torch.softmax(posed.params["q"]["logits"], -1)
    table = (torch.arange(1, classes + 1, dtype=torch.float64) / classes) ** power
    torch.testing.assert_close(exact(posed), p * (table - (p * table).sum()))


def test_another_power_is_seen():
    posed = CategoricalCosts("quadratic").make()
    with pytest.raises(AssertionError):
        assert_gradient_of(over_states(posed.problem), law(3, 3), posed.params)


def exact(posed) -> torch.Tensor:
    return torch.func.grad(over_states(posed.problem))(posed.params)["q"]["logits"]


def softmax_vjp(p, v):
    return p * (v - (p * v).sum())


def straight_through(p, one_hot, slope):
    return softmax_vjp(p, slope)


def reinmax(p, one_hot, slope):
    """2 J((p + D) / 2) g - J(p) g / 2, at temperature 1."""
    return 2 * softmax_vjp((p + one_hot) / 2, slope) - softmax_vjp(p, slope) / 2


def mean_of(estimate, posed) -> torch.Tensor:
    """The mean of a gradient made from the slope of f at the drawn class."""
    p = torch.softmax(posed.params["q"]["logits"], -1)
    slope = torch.func.grad(lambda z: posed.problem.f(posed.params, z))
    states = posed.problem.q(posed.params).states()
    return sum((p * z).sum() * estimate(p, z, slope(z)) for z in states)


@given(classes=OPTIONS["classes"], key=OPTIONS["key"])
def test_straight_through_is_right_for_linear_costs_and_reinmax_for_quadratic_ones(classes, key):
    for estimate, orders in ((straight_through, 1), (reinmax, 2)):
        for cost, power in COSTS.items():
            posed = CategoricalCosts(cost, classes, key).make()
            gap = (mean_of(estimate, posed) - exact(posed)).abs().max()
            assert (gap < 1e-14) == (power <= orders), (estimate, cost, gap)


def test_one_class_is_refused():
    with pytest.raises(UserError, match="set classes to 2 or more"):
        CategoricalCosts(classes=1)
