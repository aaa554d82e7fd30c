"""Models at given parameters: their problems are the library's, and known exactly where latents are few."""

import pytest

from tests.gradients.published.integration import assert_gradient_of, over_line, over_states
from tests.gradients.references import Model, every_state
from tests.models.toys import bernoulli_vae, bits, learned_prior, normal_line, parameters, small_vae
from vae_fn.gradients import elbo_problem
from vae_fn.gradients.published import trained_vae


def test_two_gaussian_latents_are_integrated():
    vae = learned_prior(small_vae(3, 2), 2)
    params, x = parameters(vae, 1), bits(2, 3)
    nodes, weights = normal_line(2)

    def independent(params):
        model = Model(vae, params, x, 1.0)
        return (weights * model.log_w(model.q.sample(nodes))).sum()

    for pose in ({}, {"pose": elbo_problem}):
        posed = trained_vae(vae, params, x.unsqueeze(0), **pose)
        problem = posed.pose(x)
        assert (problem.exact is None) == (not pose)

        def value(params, problem=problem):
            total = over_line(problem)(params)
            return total if problem.exact is None else total + problem.exact(params, problem.q(params))

        assert_gradient_of(value, independent, posed.params)


def test_twelve_bits_are_listed():
    vae = bernoulli_vae(3, 12, learned=True)
    params, x = parameters(vae, 1), bits(2, 3)
    posed = trained_vae(vae, params, x.unsqueeze(0), name="run x, step 7")
    assert (posed.name, posed.target, posed.params) == ("run x, step 7", "the ELBO", params)
    states = every_state(1, 12).squeeze(1)

    def independent(params):
        model = Model(vae, params, x, 1.0)
        return (model.log_q(states).exp() * model.log_w(states)).sum()

    assert_gradient_of(over_states(posed.pose(x)), independent, posed.params)


def test_another_model_is_seen():
    vae = bernoulli_vae(3, 2, learned=True)
    params, x, states = parameters(vae, 1), bits(2, 3), every_state(1, 2).squeeze(1)

    def without_prior(params):
        model = Model(vae, params, x, 1.0)
        return (model.log_q(states).exp() * (model.log_likelihood(states) - model.log_q(states))).sum()

    with pytest.raises(AssertionError):
        assert_gradient_of(over_states(trained_vae(vae, params, x.unsqueeze(0)).pose(x)), without_prior, params)
