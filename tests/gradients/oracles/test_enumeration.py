"""The ELBO and K-sample bounds by summing over states: one example, batches, layers, chunks."""

import itertools
import math

import pytest
import torch

from tests.gradients.oracles.cases import direct, gap, step_along
from tests.models import toys
from vae_fn import tree
from vae_fn.distributions import Bernoulli, BottomUp, Normal, conditional
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators.catalogue import CATALOGUE
from vae_fn.gradients.oracles import importance, weighing
from vae_fn.gradients.oracles.enumeration import elbo
from vae_fn.models import bernoulli_latents as bernoulli_model
from vae_fn.models import layered_bernoulli_latents
from vae_fn.verify.problems import bernoulli_decoder, bernoulli_latents, categorical

KNOWN = [bernoulli_latents(1), bernoulli_latents(3, beta=0.7), categorical(1, 4), categorical(2, 3)]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_value_and_gradient_against_a_sum_that_is_written_out(known):
    found = elbo(known.problem, known.params)
    value, grads = direct(known, 1, order=1, elbo=True)
    assert gap(found.value, value) <= found.error.value
    assert gap(found.grads, grads) <= found.error.grads
    assert max(found.error) < 1e-11
    assert found.method == "enumeration"


def test_the_gradient_is_that_of_the_value():
    known = categorical(2, 3)
    slope, difference = step_along(lambda params: elbo(known.problem, params), known.params)
    assert slope == pytest.approx(difference, rel=1e-7)


def vae_of_bits(bits):
    vae = toys.bernoulli_vae(6, bits, learned=True)
    return vae, toys.parameters(vae, 5), toys.bits(4, 2, 3, 6)


@pytest.mark.parametrize("pose", [elbo_problem, elbo_sampled_problem])
def test_a_batch_is_its_examples_and_chunks_change_nothing(monkeypatch, pose):
    vae, params, x = vae_of_bits(5)
    together = elbo(pose(vae, x), params)
    alone = [elbo(pose(vae, row), params) for row in x.flatten(0, 1)]
    assert together.value.shape == (2, 3)
    assert gap(together.value.flatten(), torch.stack([each.value for each in alone])) < 1e-12
    assert gap(together.grads, tree.add(*(each.grads for each in alone))) < 1e-11
    monkeypatch.setattr(weighing, "EVALUATIONS", 50)
    in_parts = elbo(pose(vae, x), params)
    assert gap(together.value, in_parts.value) < 1e-12
    assert gap(together.grads, in_parts.grads) < 1e-11


def test_a_state_left_out_is_seen():
    """Negative: the masses of the others do not make up for it."""
    known = bernoulli_latents(3)
    q = known.problem.q(known.params)
    states = q.states()[:-1]
    log_w = known.problem.f(known.params, states) + known.problem.p(known.params).log_prob(states) - q.log_prob(states)
    wrong = (q.log_prob(states).exp() * log_w).sum()
    found = elbo(known.problem, known.params)
    assert gap(found.value, wrong) > 1e6 * found.error.value


def layered(x):
    """Bits in layers of two and three over data of four pixels, of a model with linear conditionals."""
    vae = layered_bernoulli_latents((2, 3), data_dim=4)
    return vae, toys.parameters(vae, 7), x


def written_out(params, x):
    """E_q log p(x, z1, z2) - log q(z1, z2), state by state; layers are linear, bits enter them as -1 and 1."""

    def linear(layer, value):
        return value @ layer["0.weight"].T + layer["0.bias"]

    def log_mass(logits, bits):
        return torch.distributions.Bernoulli(logits=logits).log_prob(bits).sum(-1)

    total = torch.zeros((), dtype=torch.float64)
    encoder, decoder, prior = params["encoder"], params["decoder"], params["prior"]
    for bits in itertools.product((0.0, 1.0), repeat=5):
        z1, z2 = torch.tensor(bits[:2], dtype=torch.float64), torch.tensor(bits[2:], dtype=torch.float64)
        log_q = log_mass(linear(encoder["z1"], x - 0.5), z1) + log_mass(linear(encoder["z2"], 2 * z1 - 1), z2)
        log_p = log_mass(tree.leaves(prior["z2"])[0], z2) + log_mass(linear(prior["z1"], 2 * z2 - 1), z1)
        total = total + log_q.exp() * (log_p + log_mass(linear(decoder, 2 * z1 - 1), x) - log_q)
    return total


def test_layers_are_summed_over_jointly():
    vae, params, x = layered(torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64))
    found = elbo(elbo_sampled_problem(vae, x), params)
    grads, value = torch.func.grad_and_value(written_out)(params, x)
    assert gap(found.value, value) <= found.error.value
    assert gap(found.grads, grads) <= found.error.grads


@pytest.mark.parametrize("samples", [1, 2])
def test_bounds_of_layers(samples):
    """At K = 1 it is the ELBO; at K = 2 the sum over pairs of joint states."""
    vae, params, x = layered(toys.bits(4, 2, 4))
    problem = elbo_sampled_problem(vae, x)
    found = importance.bound(problem, params, samples)
    q = problem.q(params)
    states = tree.map(lambda leaf: leaf.unsqueeze(1).expand(-1, 2, -1), q.states())
    log_q = q.log_prob(states)
    log_w = problem.f(params, states) + problem.p(params).log_prob(states) - log_q
    if samples == 1:
        expected = (log_q.exp() * log_w).sum(0)
    else:
        pairs = torch.logaddexp(log_w.unsqueeze(0), log_w.unsqueeze(1)) - math.log(2)
        expected = ((log_q.unsqueeze(0) + log_q.unsqueeze(1)).exp() * pairs).sum((0, 1))
    assert gap(found.value, expected) <= found.error.value < 1e-10


def test_the_estimator_of_the_same_name_agrees():
    """Two implementations: a sum in chunks here, one graph over all states there."""
    vae, params, x = vae_of_bits(4)
    problem, estimator = elbo_sampled_problem(vae, x), CATALOGUE["enumeration"].make()
    found, other = elbo(problem, params), estimator.estimate(problem, params, (), ())
    assert gap(found.value, other.value) < 1e-12
    assert gap(found.grads, other.grads) < 1e-11


def test_too_many_states_are_refused():
    vae = bernoulli_model(17, data_dim=4)
    with pytest.raises(ValueError, match="17 variables of 2 values have 131072 states, more than 65536"):
        elbo(elbo_sampled_problem(vae, toys.bits(1, 4)), toys.parameters(vae, 1))


def test_continuous_latents_and_layers_are_refused():
    known = bernoulli_decoder(1)
    with pytest.raises(ValueError, match="Normal latents have no states to enumerate: use quadrature"):
        elbo(known.problem, known.params)
    one = torch.ones(1, dtype=torch.float64)
    given = conditional(lambda params, z: Normal(z, one.expand_as(z)), Normal(one, one))
    mixed = Problem(q=lambda params: BottomUp(Bernoulli(params["q"]["logits"]), {}, (given,)), f=lambda params, z: z[1])
    with pytest.raises(ValueError, match="a Normal layer beside discrete ones has no states to enumerate"):
        elbo(mixed, {"q": {"logits": one}})
