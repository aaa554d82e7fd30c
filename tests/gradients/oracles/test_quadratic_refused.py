"""Problems that are no quadratic forms of normal noise, or out of their reach, are refused with the reason."""

import math

import pytest
import torch

from tests.models import toys
from vae_fn import random
from vae_fn.distributions import Laplace, Normal
from vae_fn.gradients import Problem, elbo_sampled_problem
from vae_fn.gradients.oracles import wake
from vae_fn.gradients.oracles.auto import exact
from vae_fn.gradients.published import Rainforth

BOUND = "the K-sample bound"


def test_what_is_no_quadratic_form_is_refused():
    vae = toys.small_vae(6, 4, 5)
    problem, params = elbo_sampled_problem(vae, toys.bits(1, 6)), toys.parameters(vae, 2)
    for target in ("the ELBO", BOUND):
        with pytest.raises(
            ValueError, match=r"4 Normal latents: .* no quadratic form, .* a long average, or use fewer"
        ):
            exact(problem, params, target, 2)
    posed = Rainforth(dim=5, count=2).make()

    def nearly(params, z):
        return posed.problem.f(params, z) + 1e-6 * torch.sin(z).sum(-1)

    with pytest.raises(ValueError, match="no quadratic form"):
        exact(posed.problem._replace(f=nearly), posed.params)


def test_other_laws_are_refused():
    q = Laplace(torch.zeros(4).double(), torch.ones(4).double())
    with pytest.raises(ValueError, match="4 Laplace latents: quadrature takes at most 3, and these are not normal"):
        exact(Problem(lambda params: q, lambda params, z: z.sum(-1)), {"q": {"loc": q.loc}})


def test_a_q_far_from_the_posterior_is_refused():
    posed = Rainforth(dim=4, count=2, variance=400.0).make()
    assert exact(posed.problem, posed.params).error.value < 1e-7
    with pytest.raises(ValueError, match="q is too far from the posterior for its K-sample bounds"):
        exact(posed.problem, posed.params, BOUND, 2)


def test_infinite_evidence_is_refused():
    """A cost that grows faster than q falls."""
    q = Normal(torch.zeros(4).double(), torch.ones(4).double())
    problem = Problem(
        lambda params: q._replace(loc=params["q"]["loc"]), lambda params, z: z.square().sum(-1), lambda params: q, 1.0
    )
    params = {"q": {"loc": q.loc}}
    with pytest.raises(ValueError, match="E w is infinite"):
        wake.phase(problem, params, math.inf)
    assert float(exact(problem, params).value) == pytest.approx(4, abs=1e-12)
    assert float(exact(problem, params, BOUND, 3).value) > 4


def test_no_samples_are_refused():
    posed = Rainforth(dim=4, count=1).make()
    with pytest.raises(ValueError, match="1 sample or more"):
        exact(posed.problem, posed.params, BOUND, 0)
    assert random.normal is posed.problem.q(posed.params).noise_like().law
