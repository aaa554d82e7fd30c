"""The ELBO by quadrature: against sums over product nodes, closed forms of other laws, and its own error."""

import math

import pytest
import torch
from torch.distributions import Independent, kl_divergence
from torch.distributions import Normal as TorchNormal

from tests.gradients.oracles.cases import direct, gap, step_along
from tests.models import toys
from vae_fn import random, tree
from vae_fn.distributions import Laplace, Logistic, MultivariateNormal, Normal, kl_monte_carlo
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.gradients.oracles import quadrature, weighing
from vae_fn.gradients.oracles.nodes import product
from vae_fn.gradients.oracles.quadrature import ORDERS, elbo, support_of
from vae_fn.random import Noise
from vae_fn.verify.problems import bernoulli_decoder, bernoulli_latents, linear_gaussian

KNOWN = [
    (bernoulli_decoder(1), 80),
    (bernoulli_decoder(1, beta=0.7, closed_kl=True), 80),
    (bernoulli_decoder(2, beta=0.7), 40),
    (bernoulli_decoder(3), 24),
    (linear_gaussian(2), 30),
]


@pytest.mark.parametrize(("known", "order"), KNOWN, ids=lambda case: getattr(case, "name", case))
def test_value_and_gradient_against_a_sum_over_nodes(known, order):
    found = elbo(known.problem, known.params)
    value, grads = direct(known, 1, order, elbo=True)
    assert gap(found.value, value) < 1e-10
    assert gap(found.grads, grads) < 1e-10
    assert max(found.error) < 1e-8


def test_the_gradient_is_that_of_the_value():
    known = bernoulli_decoder(2, beta=0.7)
    slope, difference = step_along(lambda params: elbo(known.problem, params), known.params)
    assert slope == pytest.approx(difference, rel=1e-7)


def parameters(family, loc, scale):
    return {
        "q": {"loc": torch.tensor([loc], dtype=torch.float64), "scale": torch.tensor([scale], dtype=torch.float64)}
    }, (lambda params: family(params["q"]["loc"], params["q"]["scale"]))


COSTS = {  # E exp(a z) and its slopes in loc and scale, z = loc + scale e
    Normal: lambda a, s: (math.exp((a * s) ** 2 / 2), a**2 * s),
    Laplace: lambda a, s: (1 / (1 - (a * s) ** 2), 2 * a**2 * s / (1 - (a * s) ** 2)),
    Logistic: lambda a, s: (
        math.pi * a * s / math.sin(math.pi * a * s),
        1 / s - math.pi * a / math.tan(math.pi * a * s),
    ),
}


@pytest.mark.parametrize("family", COSTS)
def test_other_laws_and_plain_costs(family):
    """f(z) = exp(a z): the moment generating function, and its logarithmic slope in the scale."""
    a, loc, scale = 0.4, 0.7, 0.6
    params, q = parameters(family, loc, scale)
    found = elbo(Problem(q, lambda params, z: torch.exp(a * z).sum(-1)), params)
    factor, slope = COSTS[family](a, scale)
    value = math.exp(a * loc) * factor
    assert float(found.value) == pytest.approx(value, rel=0, abs=found.error.value)
    assert float(found.grads["q"]["loc"]) == pytest.approx(a * value, rel=0, abs=found.error.grads)
    assert float(found.grads["q"]["scale"]) == pytest.approx(slope * value, rel=0, abs=found.error.grads)
    assert max(found.error) < 1e-8


def test_a_full_covariance_and_a_closed_kl():
    """E_q of a quadratic form and the divergence of torch."""
    root = torch.tensor([[0.8, 0.0], [0.3, 0.5]], dtype=torch.float64)
    params = {"q": {"loc": torch.tensor([0.2, -0.4], dtype=torch.float64), "root": root}}
    prior = Normal(torch.zeros(2).double(), torch.ones(2).double())
    problem = Problem(
        q=lambda params: MultivariateNormal(params["q"]["loc"], params["q"]["root"]),
        f=lambda params, z: -(z**2).sum(-1),
        p=lambda params: prior,
        beta=0.5,
    )
    q = problem.q(params).to_torch()
    divergence = kl_divergence(q, torch.distributions.MultivariateNormal(prior.loc, scale_tril=torch.eye(2).double()))
    expected = -(params["q"]["loc"] ** 2).sum() - (root**2).sum() - 0.5 * divergence
    assert gap(elbo(problem, params).value, expected) < 1e-12


def small(latents):
    """A model, its parameters and two times three data."""
    vae = toys.small_vae(6, latents, 5)
    return vae, toys.parameters(vae, 3), toys.bits(4, 2, 3, 6)


def test_a_batch_is_its_examples_and_chunks_change_nothing(monkeypatch):
    vae, params, x = small(2)
    together = elbo(elbo_problem(vae, x), params, order=24)
    alone = [elbo(elbo_problem(vae, row), params, order=24) for row in x.flatten(0, 1)]
    assert together.value.shape == (2, 3)
    assert gap(together.value.flatten(), torch.stack([each.value for each in alone])) < 1e-12
    assert gap(together.grads, tree.add(*(each.grads for each in alone))) < 1e-12
    monkeypatch.setattr(weighing, "EVALUATIONS", 100)
    in_parts = elbo(elbo_problem(vae, x), params, order=24)
    assert gap(together.value, in_parts.value) < 1e-12
    assert gap(together.grads, in_parts.grads) < 1e-12


def test_memory_is_bounded(monkeypatch):
    """No call of f sees more than the granted nodes times examples."""
    vae, params, x = small(1)
    problem, seen = elbo_problem(vae, x), []

    def watched(params, z):
        seen.append(z.shape[:-1].numel())
        return problem.f(params, z)

    monkeypatch.setattr(weighing, "EVALUATIONS", 50)
    elbo(problem._replace(f=watched), params)
    assert max(seen) <= 50
    assert sum(seen) >= 2 * 6 * (ORDERS[1][0] / 2 + ORDERS[1][1] / 2)


def test_orders_rise_until_two_agree():
    """One order would do for a constant, and two tell; a cost that wiggles takes more of them, up to the last."""
    params, q = parameters(Normal, 0.3, 0.9)
    counts = []

    def counted(cost):
        def f(params, z):
            counts[-1] += len(z)
            return cost(z).sum(-1)

        counts.append(0)
        return elbo(Problem(q, f), params)

    smooth, wiggling, kinked = (counted(cost) for cost in (torch.zeros_like, lambda z: torch.cos(9 * z), torch.abs))
    first, last = 2 * sum(ORDERS[1][:2]), 2 * sum(ORDERS[1])  # every node twice
    assert first == counts[0] < counts[1] < counts[2] == last
    assert max(smooth.error.value, wiggling.error.value) < 1e-9 < kinked.error.value
    mean = 0.9 * math.sqrt(2 / math.pi) * math.exp(-1 / 18) + 0.3 * math.erf(1 / (3 * math.sqrt(2)))
    assert 1e-5 < abs(float(kinked.value) - mean) <= kinked.error.value


def test_the_two_forms_of_the_kl_agree():
    vae, params, x = small(1)
    closed, sampled = elbo(elbo_problem(vae, x), params), elbo(elbo_sampled_problem(vae, x), params)
    assert gap(closed.value, sampled.value) < 1e-11
    assert gap(closed.grads, sampled.grads) < 1e-11


def wiggly(latents):
    """A cost that low orders do not resolve."""
    params, q = parameters(Normal, 0.3, 0.9)
    params = tree.map(lambda leaf: leaf.expand(latents), params)
    return Problem(q, lambda params, z: torch.cos(4 * z).sum(-1) + 1 / (1 + 4 * z.square().sum(-1))), params


@pytest.mark.parametrize("latents", [1, 2])
@pytest.mark.parametrize("order", [3, 6, 12, 24, 48])
def test_the_error_bounds_the_error(latents, order):
    problem, params = wiggly(latents)
    truth, found = elbo(problem, params, order=240), elbo(problem, params, order=order)
    assert truth.error.value < 0.1 * found.error.value
    assert gap(found.value, truth.value) <= found.error.value
    assert gap(found.grads, truth.grads) <= found.error.grads


def test_an_error_of_half_its_size_would_not_do():
    """At some order of the above it is needed: the bound is no formality."""
    problem, params = wiggly(1)
    truth = elbo(problem, params, order=240)
    found = [elbo(problem, params, order=order) for order in range(3, 30)]
    assert max(gap(each.value, truth.value) / each.error.value for each in found) > 0.25


def test_nodes_of_a_batch():
    q = Normal(torch.zeros(4, 2).double(), torch.ones(4, 2).double())
    support = support_of(product(Noise(random.normal, (2,)), 9), (4,))
    assert support.nodes == 81
    z, log_q, weights = support.at(q, slice(10, 13))
    assert z.shape == (3, 4, 2)
    assert log_q.shape == weights.shape == (3, 4)
    torch.testing.assert_close(log_q, Independent(TorchNormal(q.loc, q.scale), 1).log_prob(z))


def test_large_batches_stop_at_lower_orders(monkeypatch):
    """The error says what that costs."""
    params, q = parameters(Normal, 0.3, 0.9)
    problem = Problem(q, lambda params, z: z.abs().sum(-1))
    full = elbo(problem, params)
    monkeypatch.setattr(quadrature, "EVALUATIONS", 10)
    stopped, chosen = elbo(problem, params), elbo(problem, params, order=ORDERS[1][1])
    assert stopped.value == chosen.value
    assert gap(stopped.value, full.value) < stopped.error.value
    assert stopped.error.value > 1.5 * full.error.value


def test_laws_with_many_nodes_stop_at_the_limit():
    """Rules of logistic noise have six times as many: 216 in each of two dimensions fit, 324 do not."""
    params, q = parameters(Logistic, 0.3, 0.6)
    found = elbo(
        Problem(q, lambda params, z: torch.exp(0.4 * z).sum(-1)), tree.map(lambda leaf: leaf.expand(2), params)
    )
    factor, _ = COSTS[Logistic](0.4, 0.6)
    assert abs(float(found.value) - 2 * math.exp(0.12) * factor) < found.error.value < 1e-4


def test_what_is_too_large_is_refused():
    with pytest.raises(ValueError, match="4 Normal latents: quadrature takes at most 3; pose a model of fewer"):
        elbo(elbo_problem(*small(4)[::2]), small(4)[1])


def test_discrete_latents_are_refused():
    known = bernoulli_latents(2)
    with pytest.raises(ValueError, match="Bernoulli latents have states and no quadrature: use enumeration"):
        elbo(known.problem, known.params)


def test_float32_is_refused():
    vae, params, x = small(1)
    with pytest.raises(ValueError, match="oracles compute in float64"):
        elbo(elbo_problem(vae, x.float()), tree.map(torch.Tensor.float, params))


def test_a_wrong_sign_of_log_q_is_seen():
    known = bernoulli_decoder(1)
    problem = known.problem
    wrong = problem._replace(beta=-1.0, p=lambda params: problem.p(params))
    assert gap(elbo(wrong, known.params).value, elbo(problem, known.params).value) > 0.1
    noise = random.normal(random.key(0), (20_000, 1)).double()
    divergence = kl_monte_carlo(problem.q(known.params), problem.p(known.params), noise)
    found = elbo(problem._replace(f=lambda params, z: 0 * z.sum(-1)), known.params).value
    assert float(-found) == pytest.approx(float(divergence), rel=0.05)
