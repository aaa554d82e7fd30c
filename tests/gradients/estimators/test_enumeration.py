"""The sum over all states: the gradient itself, in every layer, for every example."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.estimators import discrete
from tests.gradients.references import assert_same
from tests.models.toys import bits, learned_prior, parameters, small_vae
from vae_fn import tree
from vae_fn.gradients import elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import enumeration
from vae_fn.gradients.surrogate import from_surrogate, weigh

SEED = st.integers(0, 2**31)


def check_exact(estimator, kind, seed, beta):
    vae = discrete.VAES[kind]
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x, beta=beta)
    found = estimator.estimate(problem, params, (), ())
    torch.testing.assert_close(found.value, discrete.exact_elbo(vae, params, x, beta), rtol=1e-12, atol=1e-12)
    assert_same(found.grads, discrete.exact_gradient(vae, params, x, beta), 1e-11)
    info = found.info
    torch.testing.assert_close(info.log_weights, info.f - beta * info.log_ratio)
    torch.testing.assert_close(info.log_weights.mean(0), found.value)


@pytest.mark.parametrize("kind", discrete.VAES)
@settings(max_examples=8)
@given(seed=SEED, beta=st.sampled_from([1.0, 0.5]))
def test_it_is_the_gradient(kind, seed, beta):
    check_exact(enumeration(), kind, seed, beta)


def held_probability(problem, live, held, noise):
    z = held.q.states()
    log_q = live.q.log_prob(z)
    _, seen = weigh(problem, live.params, z, log_q)
    value = (held.q.log_prob(z).exp() * seen.log_weights).sum(0)
    return value, seen._replace(value=value)


def test_held_probabilities_are_seen():
    wrong = from_surrogate("wrong", held_probability, unbiased_for="the ELBO", latents="discrete")
    with pytest.raises(AssertionError):
        check_exact(wrong, "one", 0, 1.0)


@pytest.mark.parametrize("kind", discrete.VAES)
def test_a_batch_is_the_sum_of_its_examples(kind):
    vae = discrete.VAES[kind]
    params, x = parameters(vae, 2), bits(2, 4, 3)
    together = enumeration().estimate(elbo_sampled_problem(vae, x), params, (), ())
    alone = [enumeration().estimate(elbo_sampled_problem(vae, one), params, (), ()) for one in x]
    torch.testing.assert_close(together.value, torch.stack([one.value for one in alone]), rtol=1e-12, atol=1e-12)
    assert_same(together.grads, tree.add(*(one.grads for one in alone)), 1e-12)
    mapped = torch.vmap(lambda x: enumeration().estimate(elbo_sampled_problem(vae, x), params, (), ()).grads)(x)
    assert_same(tree.map(lambda leaf: leaf.sum(0), mapped), together.grads, 1e-12)


def test_the_closed_kl_changes_nothing():
    vae = discrete.ONE_LAYER
    params, x = parameters(vae, 1), bits(1, 2, 3)
    closed, sampled = (
        enumeration().estimate(pose(vae, x, beta=0.7), params, (), ()) for pose in (elbo_problem, elbo_sampled_problem)
    )
    torch.testing.assert_close(closed.value, sampled.value, rtol=1e-12, atol=1e-12)
    assert_same(closed.grads, sampled.grads, 1e-11)


def test_its_noise_and_its_cost():
    for kind, states in {"one": 4, "layers": 8, "classes": 3}.items():
        vae = discrete.VAES[kind]
        problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
        assert enumeration().noise_like(problem, params, 5) == ()
        assert enumeration().evaluations(problem.q(params), 5) == (states, states)


def test_refusals():
    vae = learned_prior(small_vae(3, 2), 2)
    with pytest.raises(ValueError, match="made for discrete latents"):
        enumeration().noise_like(elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0), 1)
    problem, params = discrete.of_bits(torch.zeros(17, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"131072 states.*enumerate fewer variables, or sample"):
        enumeration().estimate(problem, params, (), ())
