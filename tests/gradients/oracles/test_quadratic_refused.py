"""Problems that are no quadratic forms of normal noise, or out of their reach, are refused with the reason."""

import math

import pytest
import torch

from tests.models import toys
from vae_fn import random
from vae_fn.distributions import Laplace, Normal
from vae_fn.gradients import Problem, elbo_sampled_problem
from vae_fn.gradients.oracles import quadratic, wake
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


def standard(latents, f):
    """Standard normal latents and a cost."""
    params = {"q": {"loc": torch.zeros(latents).double()}}
    return Problem(lambda params: Normal(params["q"]["loc"], torch.ones(latents).double()), f), params


def hinge(z):
    """0 up to 3.1; its mean is -20 (phi(3.1) - 3.1 Phi(-3.1))."""
    return -10 * torch.relu(z.abs() - 3.1)


TAILS = {
    "along each axis": lambda z: hinge(z).sum(-1),
    "along the first": lambda z: hinge(z[..., 0]),
    "to one side of the last": lambda z: -10 * torch.relu(-z[..., -1] - 3.1),
    "Huber's cost of the last": lambda z: (
        -torch.nn.functional.huber_loss(z, 0 * z, reduction="none", delta=1.345).sum(-1)
    ),
    "aslant": lambda z: hinge(z.sum(-1) / z.shape[-1] ** 0.5),
    "a corner": lambda z: hinge(z.abs().amin(-1) + 1.1),
    "infinite": lambda z: torch.where(z[..., 0] < 6, 0.0, -math.inf),
}


@pytest.mark.parametrize("f", TAILS.values(), ids=TAILS.keys())
@pytest.mark.parametrize("latents", [1, 2, 4, 9])
def test_what_is_a_quadratic_form_near_0_alone_is_none(f, latents):
    problem, params = standard(latents, lambda params, z: f(z))
    assert not quadratic.fits(problem, params)
    if latents > 3:
        for target in ("the ELBO", BOUND):
            with pytest.raises(ValueError, match=f"{latents} Normal latents: .* no quadratic form"):
                exact(problem, params, target, 2)


def test_a_cost_of_the_tails_alone_is_integrated():
    """At the default order, of which kinks are worth a few hundredths."""
    problem, params = standard(1, lambda params, z: hinge(z[..., 0]))
    density, beyond = math.exp(-(3.1**2) / 2) / math.sqrt(2 * math.pi), math.erfc(3.1 / math.sqrt(2)) / 2
    assert float(exact(problem, params, BOUND, 1).value) == pytest.approx(-20 * (density - 3.1 * beyond), rel=0.05)


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
    with pytest.raises(ValueError, match="samples=0 is out of range: give a whole number, 1 or more"):
        exact(posed.problem, posed.params, BOUND, 0)
    assert random.normal is posed.problem.q(posed.params).noise_like().law
