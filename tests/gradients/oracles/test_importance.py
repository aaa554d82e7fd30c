"""K-sample bounds by the integral, against sums over all K-tuples and closed forms; and the bound on its error."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate as scipy_integrate

from tests.gradients.oracles.cases import direct, gap, step_along
from vae_fn import tree
from vae_fn.gradients.oracles import importance, quadrature, wake
from vae_fn.gradients.oracles.importance import bound, grid_of, log_mean
from vae_fn.gradients.oracles.nodes import normal
from vae_fn.verify.problems import (
    at_posterior,
    bernoulli_decoder,
    bernoulli_latents,
    categorical,
    linear_gaussian,
)

ANY_K = (1, 2, 64, 1000)
STEP, CUT = 1 / 6, 1e-16


def column(values):
    return torch.as_tensor(values, dtype=torch.float64).unsqueeze(-1)


def two_weights(low, high, share):
    """A law with two values: E log (1/K) sum w is a sum over binomial counts."""
    return column([low, high]), column([1 - share, share])


def binomial_bound(low, high, share, samples):
    total = 0.0
    for count in range(samples + 1):
        log_mass = math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1)
        log_mass += count * math.log(share) + (samples - count) * math.log1p(-share)
        terms = [math.log(n) + w for n, w in ((samples - count, low), (count, high)) if n]
        top = max(terms)
        total += math.exp(log_mass) * (top + math.log(sum(math.exp(t - top) for t in terms)) - math.log(samples))
    return total


@given(
    low=st.floats(-30, 30), spread=st.floats(0, 30), share=st.floats(0.01, 0.99), samples=st.sampled_from([1, 2, 7, 64])
)
def test_a_law_of_two_weights(low, spread, share, samples):
    log_weights, weights = two_weights(low, low + spread, share)
    grid = grid_of(log_weights, weights, samples, STEP, CUT)
    found = log_mean(log_weights, weights, samples, grid)
    assert float(found.value) == pytest.approx(binomial_bound(low, low + spread, share, samples), abs=2e-12, rel=1e-12)
    assert float(found.by_log_weight.sum()) == pytest.approx(1, abs=1e-12)
    assert float(grid.lost) <= 2 * CUT


@pytest.mark.parametrize("samples", ANY_K)
def test_derivatives_are_those_of_binomial_sums(samples):
    low, high, share, step = -1.0, 1.5, 0.3, 1e-5
    log_weights, weights = two_weights(low, high, share)
    found = log_mean(log_weights, weights, samples, grid_of(log_weights, weights, samples, STEP, CUT))
    slopes = [
        binomial_bound(low + step * a, high + step * b, share + step * c, samples)
        - binomial_bound(low - step * a, high - step * b, share - step * c, samples)
        for a, b, c in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    expected = torch.tensor(slopes, dtype=torch.float64) / (2 * step)
    torch.testing.assert_close(found.by_log_weight[:, 0], expected[:2], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.by_weight[1, 0] - found.by_weight[0, 0], expected[2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("samples", ANY_K)
def test_exponential_weights_have_a_closed_form(samples):
    """w ~ Exp(1): the sum of K is Gamma(K), whose log has the mean digamma(K)."""
    nodes = torch.linspace(-45, 5, 1200, dtype=torch.float64)  # of log w, by the trapezoidal rule
    weights = torch.exp(nodes - torch.exp(nodes))
    log_weights, weights = nodes.unsqueeze(-1), (weights / weights.sum()).unsqueeze(-1)
    found = log_mean(log_weights, weights, samples, grid_of(log_weights, weights, samples, STEP, CUT))
    expected = torch.digamma(torch.tensor(float(samples), dtype=torch.float64)) - math.log(samples)
    torch.testing.assert_close(found.value[0], expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("samples", ANY_K)
def test_lognormal_weights_against_an_adaptive_integral(samples):
    """The same integral in t, with M by scipy; both ends of its range in closed form where they matter."""
    scale = 1.5
    x, w = normal(192)
    log_weights, weights = scale * x.unsqueeze(-1), w.unsqueeze(-1)
    found = log_mean(log_weights, weights, samples, grid_of(log_weights, weights, samples, STEP, CUT))
    xs, ws = x.numpy(), w.numpy()

    def integrand(t):
        power = sum(w * math.exp(-t * math.exp(min(scale * x, 700))) for x, w in zip(xs, ws, strict=True)) ** samples
        return (math.exp(-t) - power) / t

    edges = [1e-13, 1e-6, 1e-3, 0.1, 1, 10, 100, 1e4, 1e8]
    parts = [
        scipy_integrate.quad(integrand, a, b, epsabs=1e-12, epsrel=1e-10, limit=400)[0]
        for a, b in itertools.pairwise(edges)
    ]
    assert float(found.value) == pytest.approx(sum(parts) - math.log(samples), abs=2e-9)


CASES = [
    *((bernoulli_decoder(1), k) for k in (1, 2)),
    (bernoulli_decoder(1, beta=0.7), 2),
    (linear_gaussian(1), 2),
    *((bernoulli_latents(2), k) for k in (1, 2, 3)),
    (categorical(1, 3), 3),
]


@pytest.mark.parametrize(("known", "samples"), CASES, ids=lambda case: getattr(case, "name", case))
def test_value_and_gradient_against_all_tuples_of_samples(known, samples):
    found = bound(known.problem, known.params, samples)
    value, grads = direct(known, samples, order=192)
    assert gap(found.value, value) < 1e-9
    assert gap(found.grads, grads) < 1e-9
    assert gap(found.value, value) <= found.error.value + 1e-12
    assert gap(found.grads, grads) <= found.error.grads + 1e-12


@pytest.mark.parametrize("samples", ANY_K)
def test_at_the_exact_posterior_every_bound_is_the_evidence(samples):
    known = at_posterior(2)
    evidence = quadrature.elbo(known.problem, known.params)
    found = bound(known.problem, known.params, samples)
    assert gap(found.value, evidence.value) < found.error.value < 1e-11
    assert gap(found.grads["encoder"], tree.zeros_like(found.grads["encoder"])) < found.error.grads < 1e-11


def test_one_sample_is_the_elbo():
    for known in (bernoulli_decoder(2, beta=0.7), bernoulli_latents(2)):
        found = bound(known.problem, known.params, 1)
        value, grads = direct(known, 1, order=48)
        assert gap(found.value, value) < 1e-11
        assert gap(found.grads, grads) < 1e-11


@pytest.mark.parametrize("samples", [2, 64, 1000])
def test_the_gradient_is_that_of_the_value(samples):
    known = bernoulli_decoder(1)
    slope, difference = step_along(lambda params: bound(known.problem, params, samples), known.params)
    assert slope == pytest.approx(difference, rel=1e-6)


def test_bounds_rise_with_the_samples():
    known = linear_gaussian(1)
    values = [float(bound(known.problem, known.params, k).value) for k in (1, 2, 5, 64, 1000)]
    assert values == sorted(values)


def test_a_batch_is_its_examples():
    known = bernoulli_latents(2)
    x = torch.tensor([[[0.0, 1, 1], [1, 0, 0]], [[1, 1, 1], [0, 0, 0]]], dtype=torch.float64)
    together = bound(known.pose(x), known.params, 5)
    alone = [bound(known.pose(row), known.params, 5) for row in x.flatten(0, 1)]
    assert gap(together.value.flatten(), torch.stack([each.value for each in alone])) < 1e-12
    assert gap(together.grads, tree.add(*(each.grads for each in alone))) < 1e-12


@pytest.mark.parametrize("order", [6, 12, 24, 48])
@pytest.mark.parametrize("samples", [2, 1000])
def test_the_error_bounds_what_a_low_order_misses(order, samples):
    known = linear_gaussian(1)
    far = bound(known.problem, known.params, samples, order=300)
    near = bound(known.problem, known.params, samples, order=order)
    assert gap(near.value, far.value) <= near.error.value
    assert gap(near.grads, far.grads) <= near.error.grads
    if order == 6:
        assert near.error.value > 1e-6


@pytest.mark.parametrize("samples", ANY_K)
@pytest.mark.parametrize("spread", [0.3, 2.0, 8.0])
def test_the_error_bounds_what_a_short_range_misses(samples, spread):
    """A cut of 1e-2 instead of 1e-16 misses something, and no more than it says."""
    log_weights, weights = two_weights(-spread, spread, 0.4)
    truth = binomial_bound(-spread, spread, 0.4, samples)
    for cut in (1e-2, 1e-4, 1e-6):
        grid = grid_of(log_weights, weights, samples, STEP, cut)
        missed = abs(float(log_mean(log_weights, weights, samples, grid).value) - truth)
        assert cut * 1e-4 < missed <= float(grid.lost) <= 2 * cut


def test_the_error_bounds_what_a_long_step_misses(monkeypatch):
    known = bernoulli_latents(2)
    value, grads = direct(known, 3, order=1)
    for step in (1.5, 2.0, 3.0):  # and then 0.6, 0.67, 0.75
        monkeypatch.setattr(importance, "STEP", step)
        found = bound(known.problem, known.params, 3)
        assert 1e-9 < gap(found.value, value) <= found.error.value
        assert gap(found.grads, grads) <= found.error.grads


def test_a_range_about_the_wrong_centre_is_seen():
    """Weights of e^60 against a range that was laid for weights of 1."""
    log_weights, weights = two_weights(-1.0, 1.0, 0.4)
    right = grid_of(log_weights, weights, 2, STEP, CUT)
    shifted = log_mean(log_weights + 60, weights, 2, right._replace(centre=right.centre + 60))
    wrong = log_mean(log_weights + 60, weights, 2, right)
    truth = binomial_bound(59.0, 61.0, 0.4, 2)
    assert float(shifted.value) == pytest.approx(truth, abs=1e-11)
    assert abs(float(wrong.value) - truth) > 1
    other = grid_of(log_weights + 60, weights, 2, 2 * STEP, CUT)
    coarse = log_mean(log_weights + 60, weights, 2, other)
    assert abs(float(coarse.value - wrong.value)) > 1  # what the error would say


def test_a_missing_log_k_is_seen():
    known = bernoulli_latents(2)
    found, (value, _) = bound(known.problem, known.params, 3), direct(known, 3, order=1)
    assert abs(float(found.value + math.log(3) - value)) > 1


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_log_weights_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="a log-weight is not finite"):
        grid_of(*two_weights(0.0, bad, 0.5), 2, STEP, CUT)


def test_no_samples_are_refused():
    known = bernoulli_latents(1)
    with pytest.raises(ValueError, match="samples=0 is out of range: give a whole number, 1 or more"):
        bound(known.problem, known.params, 0)


@pytest.mark.parametrize("samples", [2.5, math.nan, -math.inf, math.inf, None])
@pytest.mark.parametrize("known", [bernoulli_latents(1), linear_gaussian(1)], ids=["states", "a form"])
def test_samples_are_whole_numbers(known, samples, unchecked):
    """Of the wake phase alone infinity is a limit."""
    refusal = "samples=.* is out of range: give a whole number, 1 or more"
    with pytest.raises(ValueError, match=refusal):
        bound(known.problem, known.params, samples)
    if samples != math.inf:
        with pytest.raises(ValueError, match=refusal):
            wake.phase(known.problem, known.params, samples)


def test_nodes_of_hardly_any_weight_are_left_out():
    """They change the bound by no more than their weight, and nothing is pulled through them."""
    log_weights, weights = two_weights(-1.0, 2.0, 0.3)
    grid = grid_of(log_weights, weights, 3, STEP, CUT)
    found = log_mean(log_weights, weights, 3, grid)
    more = log_mean(torch.cat([log_weights, column([40.0])]), torch.cat([weights, column([1e-31])]), 3, grid)
    assert torch.equal(found.value, more.value)
    assert torch.equal(found.by_log_weight, more.by_log_weight[:2])
    assert float(more.by_log_weight[2]) == float(more.by_weight[2]) == 0
    heavy = log_mean(torch.cat([log_weights, column([40.0])]), torch.cat([weights, column([1e-16])]), 3, grid)
    assert float(heavy.by_log_weight[2]) > 0
