"""Which oracle is chosen for what, and what is refused."""

import pytest
import torch

from tests.gradients.oracles.cases import gap
from tests.models import toys
from vae_fn import random
from vae_fn.gradients import elbo_problem, elbo_sampled_problem
from vae_fn.gradients.oracles import enumeration, importance, quadrature, wake
from vae_fn.gradients.oracles.auto import KNOWN, exact
from vae_fn.gradients.published import CategoricalCosts, GaussianCosts, OneBernoulli, ThreeBernoullis
from vae_fn.verify.problems import bernoulli_decoder, bernoulli_latents

SMOOTH, BITS = bernoulli_decoder(1), bernoulli_latents(2)
CHOICES = [
    (SMOOTH, "the ELBO", quadrature.elbo, ()),
    (SMOOTH, "the K-sample bound", importance.bound, (5,)),
    (SMOOTH, "the wake phase", wake.phase, (5,)),
    (BITS, "the ELBO", enumeration.elbo, ()),
    (BITS, "the K-sample bound", importance.bound, (5,)),
    (BITS, "the wake phase", wake.phase, (5,)),
]


@pytest.mark.parametrize(("known", "target", "oracle", "samples"), CHOICES)
def test_the_choice(known, target, oracle, samples):
    found, expected = exact(known.problem, known.params, target, 5), oracle(known.problem, known.params, *samples)
    assert found.method == expected.method
    assert found.error == expected.error
    assert gap(found.value, expected.value) == gap(found.grads, expected.grads) == 0


def test_every_target_has_an_oracle():
    assert {target for _, target, _, _ in CHOICES} == set(KNOWN)


@pytest.mark.parametrize("known", [SMOOTH, BITS], ids=lambda known: known.name)
def test_the_bound_of_one_sample_is_the_elbo(known):
    elbo, bound = exact(known.problem, known.params), exact(known.problem, known.params, "the K-sample bound", 1)
    assert gap(elbo.value, bound.value) <= elbo.error.value + bound.error.value
    assert gap(elbo.grads, bound.grads) <= elbo.error.grads + bound.error.grads
    assert gap(elbo.value, exact(known.problem, known.params, "the K-sample bound", 2).value) > 1e-3


@pytest.mark.parametrize(
    "options", [OneBernoulli(), ThreeBernoullis(), CategoricalCosts(), GaussianCosts("cosine", k=3.0)], ids=str
)
def test_published_costs(options):
    posed = options.make()
    found = exact(posed.problem, posed.params, posed.target)
    assert max(found.error) < 1e-8
    assert found.grads.keys() == posed.params.keys()


def test_a_k_sample_bound_with_an_exact_kl_is_refused():
    vae = toys.small_vae(6, 2, 5)
    problem = elbo_problem(vae, toys.bits(1, 6))
    with pytest.raises(ValueError, match="use elbo_sampled_problem"):
        exact(problem, toys.parameters(vae, 2), "the K-sample bound", 2)


def test_refusals_name_limit_and_remedy():
    with pytest.raises(ValueError, match="no oracle of 'the evidence': ask for 'the ELBO', 'the K-sample bound'"):
        exact(SMOOTH.problem, SMOOTH.params, "the evidence")
    vae = toys.small_vae(6, 4, 5)
    problem, params = elbo_sampled_problem(vae, toys.bits(1, 6)), toys.parameters(vae, 2)
    for target in KNOWN:
        with pytest.raises(ValueError, match="4 Normal latents: quadrature takes at most 3"):
            exact(problem, params, target, 2)
    small = toys.small_vae(6, 1, 5)
    problem, params = elbo_sampled_problem(small, torch.zeros(6)), small.init(random.key(0))
    for target in KNOWN:
        with pytest.raises(ValueError, match="oracles compute in float64"):
            exact(problem, params, target, 2)
