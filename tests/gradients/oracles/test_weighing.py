"""Log-weights of oracles and of estimators are one formula, and refuse a cost that would broadcast."""

import pytest
import torch

from vae_fn import tree
from vae_fn.distributions import Bernoulli, Normal
from vae_fn.gradients import Problem
from vae_fn.gradients.estimators import enumeration, measure_valued, pathwise, rloo, straight_through
from vae_fn.gradients.oracles.auto import exact

BITS = {"q": torch.tensor([0.4, -1.0], dtype=torch.float64)}


def squares(params, z):
    return (z - 0.3).square()


def cost(params, z):
    return squares(params, z).sum(-1)


def of_bits(f, beta=0.0):
    return Problem(q=lambda params: Bernoulli(params["q"]), f=f, beta=beta)


def test_the_entropy_counts_without_a_prior():
    log_scale = torch.tensor([0.2], dtype=torch.float64)
    standard = Normal(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    problem = Problem(
        q=lambda params: Normal(torch.zeros_like(params["q"]), params["q"].exp()),
        f=lambda params, z: standard.log_prob(z),
        beta=1.0,
    )
    found = exact(problem, {"q": log_scale})
    torch.testing.assert_close(found.value, (log_scale + 0.5 - 0.5 * (2 * log_scale).exp()).squeeze(0))  # minus a KL
    torch.testing.assert_close(found.grads["q"], 1 - (2 * log_scale).exp())


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_an_oracle_and_an_exact_estimator_agree_without_a_prior(beta):
    problem, estimator = of_bits(cost, beta), enumeration()
    estimate, found = estimator.estimate(problem, BITS, (), ()), exact(problem, BITS)
    torch.testing.assert_close((estimate.value, estimate.grads), (found.value, found.grads))


@pytest.mark.parametrize("estimator", [enumeration(), measure_valued(), rloo(), straight_through()])
@pytest.mark.parametrize("bits", [1, 2])
def test_a_cost_that_is_not_summed_over_its_event_is_refused(estimator, bits):
    params = tree.map(lambda leaf: leaf[:bits], BITS)
    specs = estimator.noise_like(of_bits(cost), params, 2)
    noise = tree.map(lambda spec: torch.full(spec.shape, 0.7, dtype=torch.float64), specs)
    estimator.estimate(of_bits(cost), params, noise, ())
    with pytest.raises(ValueError, match="summed over the event"):
        estimator.estimate(of_bits(squares), params, noise, ())
    with pytest.raises(ValueError, match="summed over the event"):
        exact(of_bits(squares), params)


def test_paths_refuse_it_too():
    params = {"q": torch.zeros(1, dtype=torch.float64)}
    problem = Problem(q=lambda params: Normal(params["q"], torch.ones_like(params["q"])), f=squares)
    with pytest.raises(ValueError, match="summed over the event"):
        pathwise().estimate(problem, params, torch.zeros(3, 1, dtype=torch.float64), ())
