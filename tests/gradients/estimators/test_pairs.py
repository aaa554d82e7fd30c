"""ARM and DisARM: means and variances by integration, exactly, against enumerations of pairs."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import exact_elbo, exact_gradient, integrated, of_bits, of_two_layers, pieces
from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, normals, parameters
from vae_fn import tree
from vae_fn.distributions import Normal
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import arm, disarm, pairs, rloo
from vae_fn.gradients.estimators.disarm import scores
from vae_fn.gradients.estimators.pairs import from_pairs
from vae_fn.gradients.oracles.nodes import enumerate_states

PAIRED = {"arm": arm(), "disarm": disarm()}
SEED = st.integers(0, 2**31)
BETA = st.sampled_from([1.0, 0.5])
LOGIT = st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3)


def check_unbiased(estimator, vae, seed, beta, samples=1, order=1):
    """One node on each piece is exact: ARM is linear there, DisARM constant."""
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    mean, _ = integrated(estimator, problem, params, pieces(estimator, problem, params, samples, order))
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, beta), rtol=1e-11, atol=1e-12)
    assert_same(mean, exact_gradient(vae, params, x, beta), 1e-10)


@pytest.mark.parametrize("name", PAIRED)
@settings(max_examples=8)
@given(seed=SEED, beta=BETA, shape=st.sampled_from([(1, 1), (1, 2), (2, 1), (3, 1), (2, 2)]))
def test_unbiased_in_one_layer(name, seed, beta, shape):
    check_unbiased(PAIRED[name], bernoulli_vae(3, shape[0], True), seed, beta, shape[1])


@pytest.mark.parametrize("name", PAIRED)
@settings(max_examples=5)
@given(seed=SEED, beta=BETA, units=st.sampled_from([(1, 1), (2, 1), (1, 2), (1, 1, 1)]))
def test_unbiased_in_layers(name, seed, beta, units):
    check_unbiased(PAIRED[name], discrete.layered_vae(units), seed, beta)


@given(seed=SEED)
def test_unbiased_with_the_kl_in_closed_form(seed):
    vae = bernoulli_vae(3, 2, True)
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_problem(vae, x)
    mean, _ = integrated(disarm(), problem, params, pieces(disarm(), problem, params))
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, 1.0), rtol=1e-11, atol=1e-12)
    assert_same(mean, exact_gradient(vae, params, x, 1.0), 1e-10)


def without_scale(logits, uniform, apart):
    return 0.5 * apart


def other_sign(logits, uniform, apart):
    return -scores(logits, uniform, apart)


@pytest.mark.parametrize("wrong", [without_scale, other_sign])
def test_wrong_scores_are_rejected(wrong):
    with pytest.raises(AssertionError):
        check_unbiased(from_pairs("wrong", wrong), bernoulli_vae(3, 2, True), 0, 1.0)


def kept_above(monkeypatch):
    """Layers above a flipped one keep the value that they had."""

    def paths(q, noise):
        main, *flipped = right(q, noise)
        return [main, *(main[:at] + (path[at],) + main[at + 1 :] for at, path in enumerate(flipped))]

    right = pairs._paths
    monkeypatch.setattr(pairs, "_paths", paths)


def uniform_kept(monkeypatch):
    """Layers above a flipped one are drawn at the noise of the sample: another coupling, with the same mean."""

    def paths(q, noise):
        return right(q, {"value": noise["value"], "anew": (noise["value"],) * len(noise["value"])})

    right = pairs._paths
    monkeypatch.setattr(pairs, "_paths", paths)


def test_layers_that_are_not_drawn_anew_are_rejected(monkeypatch):
    kept_above(monkeypatch)
    with pytest.raises(AssertionError):
        check_unbiased(disarm(), discrete.layered_vae((1, 1)), 0, 1.0)


# --- variances


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
    check_unbiased(disarm(), discrete.layered_vae((1, 1)), 0, 1.0)
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
    """Everywhere, as a mean given the pair (Dong et al. 2020, section 3)."""
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


# --- what they are made of


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("vae", ["one", "layers"])
def test_evaluations_are_as_declared(name, vae):
    estimator, model, counted = PAIRED[name], discrete.VAES[vae], []
    params = parameters(model, 0)
    problem = elbo_sampled_problem(model, bits(0, 4, 3))

    def f(params, z):
        counted.append(len(tree.leaves(z)[0]))
        return problem.f(params, z)

    noise = discrete.noise_of(estimator, problem, params, 3, 0)
    estimator.estimate(problem._replace(f=f), params, noise, ())
    assert sum(counted) == estimator.evaluations(tree.shapes_of(problem.q, params), 3).forward


@pytest.mark.parametrize("name", PAIRED)
def test_classes_are_refused(name):
    model = discrete.VAES["classes"]
    params, problem = parameters(model, 0), elbo_sampled_problem(model, bits(0, 3))
    with pytest.raises(ValueError, match=f"{name} does not know what to do with Categorical latents: it pairs bits"):
        PAIRED[name].noise_like(problem, params, 1)
    with pytest.raises(ValueError, match="use rloo or relax"):
        PAIRED[name].estimate(problem, params, {"value": torch.zeros(1, 1, 3), "anew": ((),)}, ())


@pytest.mark.parametrize("name", PAIRED)
def test_continuous_latents_are_refused(name):
    problem = Problem(q=lambda params: Normal(params["q"], params["q"]), f=discrete.bits_cost)
    with pytest.raises(ValueError, match="Normal"):
        PAIRED[name].noise_like(problem, {"q": normals(0, 2)}, 1)
