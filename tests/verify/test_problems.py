"""The exact values and gradients that the kit holds estimators against, by other means than its own."""

import itertools
import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, kl_divergence
from torch.distributions import Normal as TorchNormal

from vae_fn import tree
from vae_fn.distributions import positive
from vae_fn.gradients import Problem
from vae_fn.gradients.oracles.nodes import product
from vae_fn.models.objectives import log_mean_exp
from vae_fn.verify import problems
from vae_fn.verify.problems import AVERAGES, at_posterior, bernoulli_decoder, bernoulli_latents, categorical

ELBO, BOUND = AVERAGES["the ELBO"], AVERAGES["the K-sample bound"]
ALL = (
    bernoulli_decoder(1),
    bernoulli_decoder(2, beta=0.7),
    bernoulli_decoder(1, closed_kl=True),
    problems.linear_gaussian(1),
    at_posterior(2),
    bernoulli_latents(2),
    categorical(2, 2),
)


def gaussian_evidence(params, x, scale):
    """log p(x) of the linear-Gaussian model, by the marginal's covariance."""
    decoder, prior = params["decoder"], params["prior"]
    weight, variance = decoder["weight"], positive(prior["raw"]) ** 2
    loc = weight @ prior["loc"] + decoder["bias"]
    covariance = weight @ torch.diag(variance) @ weight.T + scale**2 * torch.eye(len(x), dtype=torch.float64)
    return MultivariateNormal(loc, covariance).log_prob(x)


@pytest.mark.parametrize("latents", [1, 2, 3])
@pytest.mark.parametrize("samples", [1, 2])
def test_at_the_exact_posterior_every_bound_is_the_evidence(latents, samples):
    if latents * samples > 3:
        samples = 1
    known = at_posterior(latents)
    evidence = gaussian_evidence(known.params, known.x, 1.5)
    for average in (ELBO, BOUND):
        torch.testing.assert_close(known.value(known.params, samples, average), evidence, rtol=1e-12, atol=1e-12)


def test_elsewhere_bounds_are_ordered_below_the_evidence():
    known = problems.linear_gaussian(1)
    evidence = gaussian_evidence(known.params, known.x, 1.5)
    values = [known.value(known.params, 1, ELBO), *(known.value(known.params, k, BOUND) for k in (2, 3)), evidence]
    assert all(low < high - 1e-4 for low, high in itertools.pairwise(values))


def test_the_elbo_of_a_linear_gaussian_model_in_closed_form():
    """E log p(x|z) of a quadratic, minus the divergence of torch."""
    known = problems.linear_gaussian(2)

    def closed(params):
        q, decoder, prior = known.problem.q(params), params["decoder"], params["prior"]
        residual = known.x - decoder["weight"] @ q.loc - decoder["bias"]
        spread = (decoder["weight"] ** 2 @ q.scale**2).sum()
        constant = len(known.x) * torch.log(torch.tensor(2 * torch.pi * 1.5**2, dtype=torch.float64)) / 2
        reconstruction = -(residual.square().sum() + spread) / (2 * 1.5**2) - constant
        p = Independent(TorchNormal(prior["loc"], positive(prior["raw"])), 1)
        return reconstruction - kl_divergence(Independent(TorchNormal(q.loc, q.scale), 1), p)

    torch.testing.assert_close(known.value(known.params, 1, ELBO), closed(known.params), rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(
        tree.leaves(known.exact(1, ELBO)["grads"]), tree.leaves(torch.func.grad(closed)(known.params)), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("known", [bernoulli_decoder(1), bernoulli_decoder(1, beta=0.7)], ids=lambda known: known.name)
def test_bounds_are_their_integrals_over_both_samples_at_once(known):
    """Directly over the product of two lines, value and gradient; of order 39 it is right to 1e-8 alone."""
    nodes = product(known.problem.q(known.params).noise_like((2,)), 200)

    def direct(params):
        q, noise = known.problem.q(params), nodes.noise.movedim(1, 0)
        z = q.sample(noise)
        log_w = known.problem.f(params, z) + known.problem.beta * (known.problem.p(params).log_prob(z) - q.log_prob(z))
        return (nodes.weights * (torch.logsumexp(log_w, 0) - math.log(2))).sum()

    found = known.exact(2, BOUND)
    torch.testing.assert_close(found["value"], direct(known.params), rtol=1e-12, atol=0)
    for pair in zip(tree.leaves(found["grads"]), tree.leaves(torch.func.grad(direct)(known.params)), strict=True):
        torch.testing.assert_close(*pair, rtol=0, atol=1e-10)


def brute_force(known, samples, average, states):
    """Every tuple of states, one after the other."""
    problem, total = known.problem, 0.0
    q, p = problem.q(known.params).to_torch(), problem.p(known.params).to_torch()
    for chosen in itertools.product(states, repeat=samples):
        z = torch.stack(chosen)
        log_q = q.log_prob(z)
        log_w = problem.f(known.params, z) + problem.beta * (p.log_prob(z) - log_q)
        total = total + log_q.sum().exp() * average(log_w)
    return total


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("average", [ELBO, BOUND])
def test_enumeration_of_bits(samples, average):
    known = bernoulli_latents(2, beta=0.7)
    states = [torch.tensor(bits, dtype=torch.float64) for bits in itertools.product((0.0, 1.0), repeat=2)]
    torch.testing.assert_close(
        known.value(known.params, samples, average), brute_force(known, samples, average, states), rtol=1e-12, atol=0
    )


def test_enumeration_of_classes():
    known = categorical(2, 3)
    rows = torch.eye(3, dtype=torch.float64)
    states = [torch.stack(pair) for pair in itertools.product(rows, repeat=2)]
    torch.testing.assert_close(
        known.value(known.params, 2, BOUND), brute_force(known, 2, BOUND, states), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("known", ALL, ids=lambda known: known.name)
def test_gradients_are_those_of_the_values(known):
    """Along a direction, by differences."""
    exact = known.exact(1, ELBO)
    direction = tree.map(
        lambda leaf: torch.linspace(-1, 1, leaf.numel(), dtype=leaf.dtype).reshape(leaf.shape) + 0.1, known.params
    )
    steps = [known.value(tree.add(known.params, tree.scale(direction, step)), 1, ELBO) for step in (1e-4, -1e-4)]
    slope = sum((g * d).sum() for g, d in zip(tree.leaves(exact["grads"]), tree.leaves(direction), strict=True))
    torch.testing.assert_close(slope, (steps[0] - steps[1]) / 2e-4, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("known", ALL, ids=lambda known: known.name)
def test_everything_matters(known):
    """Every leaf has a gradient, but for the encoder's where it cannot be bettered; the data are not all the same."""
    for network, leaves in known.exact(1, ELBO)["grads"].items():
        at_rest = known.name.startswith("at_posterior") and network == "encoder"
        assert all((leaf.abs().max() < 1e-14) if at_rest else (leaf.abs() > 1e-6).any() for leaf in tree.leaves(leaves))
    assert len(known.x.unique()) > 1
    assert isinstance(known.pose(known.x.expand(4, 3)), Problem)


def test_the_two_forms_of_the_kl_agree():
    """Posed with the same numbers, the closed KL and the sampled one have one value."""
    closed, sampled = bernoulli_decoder(1, closed_kl=True), bernoulli_decoder(1)
    same = sampled._replace(x=closed.x, params=closed.params)
    torch.testing.assert_close(
        closed.value(closed.params, 2, ELBO), same.value(closed.params, 2, ELBO), rtol=1e-12, atol=0
    )
    assert log_mean_exp is BOUND


def test_too_many_nodes_are_refused():
    with pytest.raises(ValueError, match="4 Normal latents: quadrature takes at most 3"):
        bernoulli_decoder(4).exact(2, ELBO)


def test_an_average_without_an_oracle_is_refused():
    with pytest.raises(ValueError, match="the averages of 'the ELBO', 'the K-sample bound'"):
        bernoulli_decoder(1).exact(2, lambda log_weights: log_weights.max(0).values)
