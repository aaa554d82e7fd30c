"""Rules in place of noise: their moments are those of the laws, and every state has its probability."""

import math

import pytest
import scipy.special
import scipy.stats
import torch
from torch import distributions

from vae_fn import random
from vae_fn.distributions import Bernoulli, BottomUp, Categorical, Normal, conditional
from vae_fn.gradients.oracles import nodes
from vae_fn.gradients.oracles.nodes import enumerate_states, product
from vae_fn.random import Noise


class Rayleigh:
    """E W**n of the length of two standard normals; scipy integrates it, and loses digits."""

    def moment(self, power):
        return 2 ** (power / 2) * math.gamma(1 + power / 2)


class TwoSidedMaxwell:
    """E M**n of the length of three, with a sign."""

    def moment(self, power):
        return 0.0 if power % 2 else 2 ** (1 + power / 2) * math.gamma((3 + power) / 2) / math.sqrt(math.pi)


LAWS = {
    random.normal: scipy.stats.norm(),
    random.uniform: scipy.stats.uniform(),
    random.laplace: scipy.stats.laplace(),
    random.logistic: scipy.stats.logistic(),
    random.gumbel: scipy.stats.gumbel_r(),
    random.rayleigh: Rayleigh(),
    random.maxwell: TwoSidedMaxwell(),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("order", "error"), [(20, 1e-5), (57, 1e-9)])
def test_moments_of_each_law(law, order, error):
    x, weights = nodes.RULES[law](order)
    assert (weights >= 0).all()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
    for power in range(1, 5):
        assert float((weights * x**power).sum()) == pytest.approx(LAWS[law].moment(power), rel=error, abs=error)


def test_every_law_has_a_rule():
    assert set(nodes.RULES) == set(LAWS)


def test_gauss_rules_are_exact_for_polynomials():
    for order in (1, 2, 5):
        for law in (random.normal, random.uniform, random.rayleigh):
            x, weights = nodes.RULES[law](order)
            degree = 2 * order - 1
            assert float((weights * x**degree).sum()) == pytest.approx(LAWS[law].moment(degree), rel=1e-12, abs=1e-13)
    for order in (3, 6):
        x, weights = nodes.maxwell(order)
        degree = 2 * order - 4
        assert float((weights * x**degree).sum()) == pytest.approx(LAWS[random.maxwell].moment(degree), rel=1e-12)


@pytest.mark.parametrize("order", [30, 105])
def test_half_lines_are_integrated_beyond_polynomials(order):
    """E cos(3 W) and E exp(-2 W**2) under Rayleigh, E cos(2 M) under Maxwell, in closed form."""
    x, weights = nodes.rayleigh(order)
    dawson = scipy.special.dawsn(3 / 2**0.5)
    assert float((weights * torch.cos(3 * x)).sum()) == pytest.approx(1 - 3 * 2**0.5 * dawson, abs=1e-13)
    assert float((weights * torch.exp(-2 * x**2)).sum()) == pytest.approx(1 / 5, abs=1e-9)
    x, weights = nodes.maxwell(order)
    assert float((weights * torch.cos(2 * x)).sum()) == pytest.approx((1 - 4) * math.exp(-2), abs=1e-13)


def test_a_product_rule_is_an_expectation_of_independent_noise():
    specs = {"a": Noise(random.normal, (2,)), "b": (Noise(random.uniform, ()),)}
    rule = product(specs, 6)
    assert rule.noise["a"].shape == (216, 2)
    assert rule.noise["b"][0].shape == (216,)
    first, second, third = *rule.noise["a"].T, rule.noise["b"][0]
    value = first**2 * second**4 * third**3 + first * second
    assert float((rule.weights * value).sum()) == pytest.approx(1 * 3 / 4, rel=1e-12)


def test_jumps_at_breaks_cost_nothing():
    breaks = torch.tensor([[0.3, 0.9], [0.5, 0.5]])
    rule = product(Noise(random.uniform, (2,)), 1, breaks)
    jumps = (rule.noise > torch.tensor([0.3, 0.5])).double().prod(1) * (rule.noise[:, 0] < 0.9)
    assert float((rule.weights * jumps).sum()) == pytest.approx(0.6 * 0.5, rel=1e-7)
    assert len(rule.weights) == 3 * 2  # the empty piece between equal points is left out


def test_breaks_outside_the_unit_interval_make_no_pieces():
    x, weights = nodes.uniform(3, torch.tensor([-1.0, 2.0]))
    assert len(x) == 3
    assert float(weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("samples", [1, 2])
def test_all_bits(samples):
    q = Bernoulli(torch.tensor([0.7, -1.3, 0.0], dtype=torch.float64))
    rule = enumerate_states(q, samples)
    states = q.sample(rule.noise)
    assert states.shape == (8**samples, samples, 3)
    assert len({tuple(state.flatten().tolist()) for state in states}) == 8**samples
    log_probs = distributions.Bernoulli(logits=q.logits).log_prob(states).sum((1, 2))
    torch.testing.assert_close(rule.weights, log_probs.exp(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("samples", [1, 2])
def test_all_classes(samples):
    logits = torch.tensor([[0.7, -1.3, 0.0], [2.0, 0.1, -4.0]], dtype=torch.float64)
    q = Categorical(logits)
    rule = enumerate_states(q, samples)
    states = q.sample(rule.noise)
    assert len({tuple(state.flatten().tolist()) for state in states}) == 9**samples == len(states)
    oracle = distributions.OneHotCategorical(logits=logits)
    torch.testing.assert_close(rule.weights, oracle.log_prob(states).sum((1, 2)).exp(), rtol=1e-12, atol=0)


def test_bits_that_are_certain_have_one_state():
    rule = enumerate_states(Bernoulli(torch.tensor([800.0, 0.0], dtype=torch.float64)))
    assert len(rule.weights) == 2


def test_refusals():
    with pytest.raises(ValueError, match="4 dimensions of noise need 160000 nodes"):
        product(Noise(random.normal, (4,)), 20)
    with pytest.raises(ValueError, match="has no quadrature rule"):
        product(Noise(random.permutation, (1,)), 5)
    with pytest.raises(ValueError, match="give None for other laws"):
        product(Noise(random.normal, (1,)), 5, torch.tensor([[0.5]]))
    with pytest.raises(ValueError, match="Normal has no states"):
        enumerate_states(Normal(torch.zeros(1), torch.ones(1)))
    with pytest.raises(ValueError, match=r"3 draws have \d+ states"):
        enumerate_states(Categorical(torch.zeros(4, 5)), 3)


def test_a_number_means_normal_noise():
    assert nodes.specification(3) == Noise(random.normal, (3,))
    assert nodes.dimensions({"a": Noise(random.normal, (2, 3)), "b": Noise(random.uniform, ())}) == 7
    assert nodes.specification(0).shape == (0,)


def layers():
    """Two bits, and three classes given them."""
    given = conditional(
        lambda params, z: Categorical((z @ params).unsqueeze(-2)), Categorical(torch.zeros(1, 3, dtype=torch.float64))
    )
    weight = torch.tensor([[0.4, -1.0, 2.0], [0.0, 0.7, -0.3]], dtype=torch.float64)
    return BottomUp(Bernoulli(torch.tensor([0.7, -1.3], dtype=torch.float64)), weight, (given,))


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("place", [0.5, 0.1, 0.9])
def test_all_states_of_layers_wherever_their_noise_lies(samples, place):
    rule = enumerate_states(layers(), samples, place)
    states = layers().sample(rule.noise)
    flat = torch.cat([layer.flatten(1) for layer in states], 1)
    assert len({tuple(state.tolist()) for state in flat}) == 12**samples == len(flat)
    bits = distributions.Bernoulli(logits=layers().first.logits).log_prob(states[0]).sum((1, 2))
    chosen = distributions.OneHotCategorical(logits=states[0] @ layers().params).log_prob(states[1].squeeze(-2)).sum(1)
    torch.testing.assert_close(rule.weights, (bits + chosen).exp(), rtol=1e-12, atol=0)
    other = enumerate_states(layers(), samples, 0.3)
    assert not torch.equal(other.noise[0], rule.noise[0])
    assert torch.equal(other.weights, rule.weights)
