"""Variances of ARM and DisARM, against enumerations of the pairs, and what DisARM saves."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import integrated, of_bits, of_two_layers, pieces
from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, parameters
from vae_fn import tree
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import arm, disarm, pairs, rloo
from vae_fn.gradients.oracles.nodes import enumerate_states

PAIRED = {"arm": arm(), "disarm": disarm()}
SEED = st.integers(0, 2**31)
BETA = st.sampled_from([1.0, 0.5])
LOGIT = st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3)


def uniform_kept(monkeypatch):
    """Layers above a flipped one are drawn at the noise of the sample: another coupling, with the same mean."""

    def paths(q, noise):
        return right(q, {"value": noise["value"], "anew": (noise["value"],) * len(noise["value"])})

    right = pairs._paths
    monkeypatch.setattr(pairs, "_paths", paths)


def each_pair(logit):
    """Probability, b, b~, and the first two moments of u - 1/2 of each of the three pairs."""
    p = 1 / (1 + torch.exp(-torch.tensor(logit, dtype=torch.float64))).item()
    least, same = min(p, 1 - p), float(p > 0.5)
    outer = (0.5**3 - (0.5 - least) ** 3) / (3 * least)
    return [
        (least, 1.0, 0.0, (1 - least) / 2, outer),
        (least, 0.0, 1.0, (least - 1) / 2, outer),
        (1 - 2 * least, same, same, 0.0, (1 - 2 * least) ** 2 / 12),
    ]


def moments_of_bits(logits, second):
    """Mean and variance of the gradient in the logits; `second` chooses the second moment of the score."""
    d = len(logits)
    mean, square = torch.zeros(d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
    for outcome in itertools.product(*map(each_pair, logits)):
        weight, b, other = 1.0, [o[1] for o in outcome], [o[2] for o in outcome]
        for o in outcome:
            weight *= o[0]
        b, other = torch.tensor(b, dtype=torch.float64), torch.tensor(other, dtype=torch.float64)
        gap = discrete.bits_cost({}, b) - discrete.bits_cost({}, other)
        for i, o in enumerate(outcome):
            mean[i] += weight * gap * o[3]
            square[i] += weight * gap**2 * second(o)
    return mean, square - mean**2


SECOND = {"arm": lambda o: o[4], "disarm": lambda o: o[3] ** 2}


@pytest.mark.parametrize("name", PAIRED)
@given(logits=st.lists(LOGIT, min_size=1, max_size=3))
def test_variances_in_one_layer(name, logits):
    problem, params = of_bits(torch.tensor(logits, dtype=torch.float64))
    mean, variance = integrated(PAIRED[name], problem, params, pieces(PAIRED[name], problem, params, order=2))
    expected = moments_of_bits(logits, SECOND[name])
    torch.testing.assert_close(mean["q"], expected[0], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(variance["q"], expected[1], rtol=1e-11, atol=1e-12)


def moments_of_layers(a, w, c, second):
    """The same of two layers, where the flipped bit's neighbour above is drawn by itself."""
    found = []
    for p1, b, b_, m, s in each_pair(a):
        for p2, h, h_, n, t in each_pair(w * b + c):
            one = torch.tensor(w * b_ + c, dtype=torch.float64).sigmoid().item()
            for p3, anew in ((one, 1.0), (1 - one, 0.0)):
                first = discrete.pair_cost(b, h) - discrete.pair_cost(b_, anew)
                above = discrete.pair_cost(b, h) - discrete.pair_cost(b, h_)
                score = (first, m, s), (above * b, n, t), (above, n, t)
                found.append((p1 * p2 * p3, score))
    weights = torch.tensor([weight for weight, _ in found], dtype=torch.float64)
    means = torch.tensor([[gap * m for gap, m, _ in score] for _, score in found], dtype=torch.float64)
    squares = torch.tensor(
        [[gap**2 * second((0, 0, 0, m, s)) for gap, m, s in score] for _, score in found], dtype=torch.float64
    )
    return weights @ means, weights @ squares - (weights @ means) ** 2


@pytest.mark.parametrize("name", PAIRED)
@settings(max_examples=15)
@given(a=LOGIT, w=LOGIT, c=LOGIT)
def test_variances_in_layers(name, a, w, c):
    check_layers(name, a, w, c)


def check_layers(name, a, w, c):
    problem, params = of_two_layers(a, w, c)
    found = integrated(PAIRED[name], problem, params, pieces(PAIRED[name], problem, params, order=2))
    for seen, expected in zip(found, moments_of_layers(a, w, c, SECOND[name]), strict=True):
        actual = torch.cat([seen[leaf] for leaf in "awc"])
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)


def test_another_coupling_of_layers_is_seen_in_the_variance(monkeypatch):
    uniform_kept(monkeypatch)
    vae = discrete.layered_vae((1, 1))
    params, problem = parameters(vae, 0), elbo_sampled_problem(vae, bits(0, 3))
    mean, _ = integrated(disarm(), problem, params, pieces(disarm(), problem, params))
    mean.pop("value")
    assert_same(mean, discrete.exact_gradient(vae, params, bits(0, 3), 1.0), 1e-10)
    with pytest.raises(AssertionError):
        check_layers("disarm", 0.7, -1.2, 0.4)


@given(logits=st.lists(LOGIT, min_size=1, max_size=2))
def test_disarm_is_the_mean_of_arm_given_the_pair(logits):
    """On every piece, where b and b~ are what they are, the mean of ARM is DisARM."""
    problem, params = of_bits(torch.tensor(logits, dtype=torch.float64))
    order, d = 3, len(logits)
    nodes = pieces(arm(), problem, params, order=order)

    def at(estimator):
        return torch.vmap(lambda noise: estimator.estimate(problem, params, noise, ()).grads["q"])(nodes.noise)

    shape = (3, order) * d
    weights, fine, coarse = nodes.weights.reshape(shape), at(arm()).reshape(*shape, d), at(disarm()).reshape(*shape, d)
    inside = tuple(range(1, 2 * d, 2))
    means = (weights.unsqueeze(-1) * fine).sum(inside) / weights.sum(inside).unsqueeze(-1)
    torch.testing.assert_close(means, coarse[(slice(None), 0) * d], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(coarse, coarse[(slice(None), slice(0, 1)) * d].expand_as(coarse), rtol=0, atol=0)


@given(seed=SEED, beta=BETA)
def test_disarm_varies_less_than_arm(seed, beta):
    """Everywhere, as a mean given the pair (Dong et al. 2020)."""
    vae = bernoulli_vae(3, 2, True)
    params, problem = parameters(vae, seed), elbo_sampled_problem(vae, bits(seed, 3), beta=beta)
    fine, coarse = (
        integrated(e, problem, params, pieces(e, problem, params, order=2))[1]["encoder"] for e in PAIRED.values()
    )
    for more, less in zip(tree.leaves(fine), tree.leaves(coarse), strict=True):
        assert (less <= more * (1 + 1e-9) + 1e-12).all()


@given(logit=LOGIT)
def test_disarm_of_one_bit_varies_less_than_two_scores(logit):
    """Of one bit by the factor max(p, 1 - p), with as many evaluations of f."""
    problem, params = of_bits(torch.tensor([logit], dtype=torch.float64))
    mean, one = integrated(disarm(), problem, params, pieces(disarm(), problem, params))
    _, other = integrated(rloo(), problem, params, enumerate_states(problem.q(params), 2))
    p = torch.sigmoid(params["q"])
    scale = torch.maximum(p, 1 - p)
    torch.testing.assert_close(one["q"] + mean["q"] ** 2, scale * (other["q"] + mean["q"] ** 2), rtol=1e-10, atol=0)
    assert (one["q"] <= other["q"]).all()
