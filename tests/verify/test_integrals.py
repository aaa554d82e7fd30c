"""The exact tier against closed forms, and what it says of integrals that it cannot do."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions

from vae_fn import random
from vae_fn.distributions import Bernoulli
from vae_fn.gradients.oracles.moments import FURTHER, moments, order_of
from vae_fn.gradients.oracles.nodes import Nodes, enumerate_states
from vae_fn.random import Noise
from vae_fn.verify.integrals import exact, exact_variance

COEFFICIENT = st.floats(-1.5, 1.5)


@given(a=COEFFICIENT, b=COEFFICIENT)
def test_moments_of_a_lognormal(a, b):
    """E exp(a x + b y) = exp(c), var = exp(2 c) (exp(2 c) - 1) with c = (a**2 + b**2) / 2."""
    found = moments(lambda e: torch.exp(a * e[0] + b * e[1]), 2)
    spread = a**2 + b**2
    assert float(found.mean) == pytest.approx(math.exp(spread / 2), rel=1e-9)
    assert float(found.variance) == pytest.approx(math.exp(spread) * math.expm1(spread), rel=1e-7, abs=1e-9)
    assert max(found.errors) < 1e-6
    assert found.nodes == (order_of(Noise(random.normal, (2,))) + FURTHER) ** 2


def test_trees_laws_and_shapes():
    specs = {"normal": Noise(random.normal, (1, 1)), "uniform": Noise(random.uniform, ())}

    def fn(noise):
        return {"a": noise["normal"] ** 2 * noise["uniform"], "b": (noise["uniform"].expand(2, 0), noise["uniform"])}

    found = moments(fn, specs)
    assert found.mean["a"].shape == (1, 1)
    assert found.mean["b"][0].shape == (2, 0)
    assert float(found.mean["a"]) == pytest.approx(1 / 2)
    assert float(found.variance["a"]) == pytest.approx(3 / 3 - 1 / 4)
    assert float(found.variance["b"][1]) == pytest.approx(1 / 12)
    expected = {"a": torch.full((1, 1), 0.5), "b": (torch.zeros(2, 0), torch.tensor(0.5))}
    assert exact(fn, expected, specs).passed
    assert exact_variance(fn, {**expected, "a": torch.full((1, 1), 0.75)}, specs).status == "biased"


def test_a_bias_of_a_millionth_is_seen_and_located():
    verdict = exact(
        lambda e: torch.stack([e[0] ** 2, e[0] ** 4]), torch.tensor([1.0, 3.0 + 1e-6], dtype=torch.float64), 1
    )
    assert verdict.status == "biased"
    assert verdict.coordinate == "value[1]"
    assert verdict.gap == pytest.approx(1e-6, rel=1e-3)
    assert verdict.resolvable == pytest.approx(4e-8, rel=1e-3)
    assert verdict.alpha == 0
    assert verdict.draws == order_of(Noise(random.normal, (1,))) + FURTHER
    right = exact(lambda e: torch.stack([e[0] ** 2, e[0] ** 4]), torch.tensor([1.0, 3.0]).double(), 1)
    assert right.passed


def test_the_variance_is_claimed_apart():
    def fn(e):
        return 2 * e + 1

    assert exact_variance(fn, 4.0, 3).passed
    assert exact_variance(fn, 4.001, 3).status == "biased"
    assert exact(fn, 1.0, 3).passed
    assert exact_variance(fn, 4.0, 3).claim == "variance"


def test_float32_is_held_to_its_own_rounding():
    def fn(e):
        return torch.exp(0.3 * e).float()

    value = math.exp(0.045)
    assert exact(fn, value, 1).passed
    assert exact(fn, value + 1e-6, 1).passed
    assert exact(fn, value + 1e-4, 1).status == "biased"
    assert exact(fn, value + 1e-6, 1, tolerance=1e-8).status == "biased"


@pytest.mark.parametrize("fn", [lambda e: (e > 0.1).double(), lambda e: (e - 0.3).abs().sqrt()])
def test_what_is_not_smooth_is_inconclusive(fn):
    verdict = exact(fn, 0.5, 1)
    assert verdict.status == "inconclusive"
    assert "give breaks" in verdict.detail


def test_breaks_make_a_jump_exact():
    noise, threshold = Noise(random.uniform, (1,)), 0.37
    breaks = torch.tensor([[threshold]], dtype=torch.float64)

    def fn(u):
        return (u > threshold).double()

    assert exact(fn, 1 - threshold, noise).status == "inconclusive"
    assert exact(fn, 1 - threshold, noise, breaks=breaks).passed
    assert exact(fn, threshold, noise, breaks=breaks).status == "biased"


def test_values_that_are_not_finite_are_rejected():
    verdict = exact(lambda e: torch.stack([e[0], torch.log(e[0])]), 0.0, 1)
    assert verdict.status == "rejected"
    assert "not finite" in verdict.detail
    assert verdict.coordinate == "value[1]"


def test_states_of_bits_are_summed():
    q = Bernoulli(torch.tensor([0.4, -0.2], dtype=torch.float64))
    oracle = distributions.Bernoulli(logits=q.logits)
    rule = enumerate_states(q)

    def fn(noise):
        return q.sample(noise)[0]

    assert exact(fn, oracle.mean, rule).passed
    assert exact_variance(fn, oracle.variance, rule).passed
    assert exact(fn, oracle.mean + 1e-6, rule).status == "biased"
    assert moments(fn, rule).errors == (0, 0)


def test_nodes_of_ones_own_are_taken_as_they_are():
    rule = Nodes(torch.tensor([[1.0], [3.0]]).double(), torch.tensor([0.25, 0.75]).double())
    assert float(moments(lambda x: x.sum(), rule).mean) == 2.5
    assert float(moments(lambda x: x.sum(), rule).variance) == 0.75


def test_the_order_falls_with_the_dimension():
    few, many = (order_of(Noise(random.normal, (dimensions,))) for dimensions in (3, 2))
    assert few < many
    assert moments(lambda e: e, 3).nodes == (few + FURTHER) ** 3
    assert moments(lambda e: e, 1, order=5).nodes == 5 + FURTHER


def test_gradients_are_integrated_like_anything_else():
    def slope(e):
        return torch.func.grad(lambda s: torch.sin(1 + s * e).sum())(torch.tensor(0.5, dtype=torch.float64))

    expected = -0.5 * math.sin(1) * math.exp(-0.125)  # d/ds of sin(1) exp(-s**2 / 2)
    assert exact(slope, expected, 1).passed
    assert exact(lambda e: 1.01 * slope(e), expected, 1).status == "biased"


def test_another_tree_is_refused():
    with pytest.raises(ValueError, match="must have the tree"):
        exact(lambda e: e, torch.zeros(2), 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_expectation(bad):
    for expected in (bad, torch.tensor([0.0, bad]).double()):
        fn = (lambda e: e.sum()) if isinstance(expected, float) else (lambda e: torch.cat([e, e]))
        assert exact(fn, expected, 1).status == "rejected"
        assert exact_variance(fn, expected, 1).status == "rejected"


@pytest.mark.parametrize("tolerance", [math.nan, -1.0])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match="what is forgiven"):
        exact(lambda e: e.sum() + 1, 0.0, 1, tolerance=tolerance)


@pytest.mark.parametrize("total", [0.5, 2.0, math.nan])
def test_weights_that_do_not_sum_to_one_are_refused(total):
    rule = Nodes(torch.tensor([[1.0], [3.0]]).double(), torch.tensor([0.25, 0.75]).double() * total)
    with pytest.raises(ValueError, match="sum to 1"):
        moments(lambda x: x.sum(), rule)


MEANS = {
    random.logistic: lambda a: math.pi * a / math.sin(math.pi * a),
    random.gumbel: lambda a: math.gamma(1 - a),
}
"""E exp(a x): its tail decays as exp(-(1 - a) x)."""


@pytest.mark.parametrize("law", MEANS)
@pytest.mark.parametrize("a", [0.1, 0.3, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 0.95])
def test_a_tail_beyond_the_nodes_is_never_a_bias(law, a):
    verdict = exact(lambda x: torch.exp(a * x).sum(), MEANS[law](a), Noise(law, (1,)))
    assert verdict.status == "passed" if a <= 0.5 else verdict.status in ("passed", "inconclusive")


def test_an_imaginary_part_is_integrated():
    """The characteristic function of a normal, turned by a quarter."""

    def fn(e):
        return 1j * torch.exp(1j * e.sum())

    assert exact(fn, 1j * math.exp(-0.5), 1).passed
    assert exact(fn, 0j, 1).coordinate == "value[1]"


def test_bfloat16_is_held_to_its_own_rounding():
    assert exact(lambda e: (e.square() + 1 / 3).bfloat16(), 4 / 3, 1).passed
    assert exact(lambda e: (e.square() + 1 / 3).bfloat16(), 3.0, 1).status == "biased"


def test_what_is_resolved_is_resolved_in_every_coordinate():
    """Whichever has the largest gap, which rounding decides where all is right."""
    verdict = exact(lambda e: torch.stack([1e-7 + 0 * e[0], 9 + 0 * e[0]]), torch.tensor([1.1e-7, 9.0]).double(), 1)
    assert verdict.coordinate == "value[0]"
    assert verdict.resolvable == pytest.approx(1e-7)
