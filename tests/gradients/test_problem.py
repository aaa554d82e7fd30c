"""The problems that a VAE poses: their parts add up to the objectives."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.toys import bits, learned_prior, normals, parameters, small_vae
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.models import objectives

SEED = st.integers(0, 2**31)
BATCH = st.sampled_from([(), (3,), (2, 2)])
BETA = st.sampled_from([1.0, 0.5])


def value(problem, params, noise):
    q = problem.q(params)
    z = q.sample(noise)
    total = problem.f(params, z).mean(0)
    if problem.p is not None:
        total = total + problem.beta * (problem.p(params).log_prob(z) - q.log_prob(z)).mean(0)
    return total if problem.exact is None else total + problem.exact(params, q)


@given(batch=BATCH, samples=st.integers(1, 3), beta=BETA, free_bits=st.sampled_from([0.0, 0.2]), seed=SEED)
def test_problems_are_the_objectives(batch, samples, beta, free_bits, seed):
    vae = learned_prior(small_vae(3, 2), 2)
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    closed = objectives.elbo(vae, params, x, noise, beta=beta, free_bits=free_bits).objective
    sampled = objectives.elbo_sampled(vae, params, x, noise, beta=beta).objective
    problem = elbo_problem(vae, x, beta=beta, free_bits=free_bits)
    torch.testing.assert_close(value(problem, params, noise), closed, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(value(elbo_sampled_problem(vae, x, beta=beta), params, noise), sampled)


def test_context_reaches_every_part():
    vae, seen = small_vae(3, 2), []

    def noting(part):
        fn = getattr(vae, part)
        return lambda *args: (seen.append((part, args[-1])), fn(*args[:-1], None))[1]

    noted = vae._replace(**{part: noting(part) for part in ("posterior", "prior", "likelihood")})
    for make in (elbo_problem, elbo_sampled_problem):
        value(make(noted, bits(0, 3), "c"), parameters(vae, 0), normals(0, 1, 2))
        assert {part for part, context in seen if context == "c"} == {"posterior", "prior", "likelihood"}
        seen.clear()


def test_a_plain_cost_is_q_and_f():
    problem = Problem(q=lambda params: None, f=lambda params, z: z)
    assert (problem.p, problem.beta, problem.exact) == (None, 0.0, None)
