"""GDReG: the gradient of the bound with the prior's score as a path; its relations to DReG; where it vanishes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gaps import largest
from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, learned_prior, normals, parameters, small_vae
from vae_fn import random, tree, verify
from vae_fn.distributions import BottomUp, Normal, TopDown
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import dreg, gdreg, iwae, sticking_the_landing
from vae_fn.gradients.oracles.moments import moments
from vae_fn.models import VAE
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.mutants.doubly import doubly
from vae_fn.verify.problems import at_posterior, bernoulli_decoder

SEED = st.integers(0, 2**31)
ESTIMATOR = gdreg()


def test_unbiased():
    """In decoder, encoder and the prior, for one sample and more."""
    taken = [
        Setting(bernoulli_decoder(1), 1),
        Setting(bernoulli_decoder(1), 2),
    ]
    assert len(verify.unbiased(ESTIMATOR, taken).check().verdicts) == len(taken) + 1


def estimates(vae: VAE, seed, samples=3, batch=(2,)):
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    problem = elbo_sampled_problem(vae, x)
    return [each.estimate(problem, params, noise, ()) for each in (ESTIMATOR, dreg())], (problem, params, noise)


@given(seed=SEED, samples=st.integers(1, 4))
@settings(max_examples=8)
def test_with_a_prior_that_is_not_learned_it_is_dreg(seed, samples):
    (mine, other), _ = estimates(small_vae(3, 2), seed, samples)
    torch.testing.assert_close(mine.value, other.value, rtol=1e-12, atol=0)
    assert_same(mine.grads, other.grads, 1e-10)


@given(seed=SEED, samples=st.integers(1, 4))
@settings(max_examples=8)
def test_only_the_prior_s_gradient_is_another(seed, samples):
    (mine, other), _ = estimates(learned_prior(small_vae(3, 2), 2), seed, samples)
    for part in ("encoder", "decoder"):
        assert_same({part: mine.grads[part]}, {part: other.grads[part]}, 1e-10)
    prior, path = tree.leaves(other.grads["prior"]), tree.leaves(mine.grads["prior"])
    assert not any(torch.allclose(a, b, rtol=1e-3) for a, b in zip(prior, path, strict=True))


@given(seed=SEED)
@settings(max_examples=5)
def test_one_sample_of_dreg_is_the_landing(seed):
    vae = learned_prior(small_vae(3, 2), 2)
    (_, found), (problem, params, noise) = estimates(vae, seed, 1)
    expected = sticking_the_landing().estimate(problem, params, noise, ())
    torch.testing.assert_close(found.value, expected.value)
    assert_same(found.grads, expected.grads, 1e-12)


@given(seed=SEED, samples=st.integers(1, 3))
@settings(max_examples=8)
def test_the_prior_s_path_by_hand(seed, samples):
    """Sum over k of (w~ df/dz - w~**2 dlog w/dz) dT_p, with T_p = loc + scale e~ and e~ held."""
    _, (problem, params, noise) = estimates(learned_prior(small_vae(3, 2), 2), seed, samples)
    q, p = problem.q(params), problem.p(params)
    z = q.sample(noise).clone().requires_grad_()
    f = problem.f(params, z)
    ratio = q.to_torch().log_prob(z) - p.to_torch().log_prob(z)
    weights = torch.softmax(f - ratio, 0).detach()
    (f_z,) = torch.autograd.grad((weights * f).sum(), z, retain_graph=True)
    (w_z,) = torch.autograd.grad((weights**2 * (f - ratio)).sum(), z)
    along = f_z - w_z
    held = (z.detach() - p.loc) / p.scale
    slope = torch.sigmoid(params["prior"]["raw"])  # of softplus
    axes = tuple(range(along.ndim - 1))
    expected = {"loc": along.sum(axes), "raw": (along * held).sum(axes) * slope}
    found = ESTIMATOR.estimate(problem, params, noise, ())
    assert_same({"prior": found.grads["prior"]}, {"prior": expected}, 1e-9)
    assert found.value.shape == (2,)
    bound = torch.logsumexp(f - ratio, 0) - math.log(samples)
    torch.testing.assert_close(found.value, bound.detach(), rtol=1e-11, atol=0)


@given(seed=SEED, samples=st.integers(1, 3))
@settings(max_examples=5)
def test_what_wrong_versions_are_made_of_is_right(seed, samples):
    """The surrogate of the registry, with nothing changed."""
    (mine, _), (problem, params, noise) = estimates(learned_prior(small_vae(3, 2), 2), seed, samples)
    other = doubly().estimate(problem, params, noise, ())
    torch.testing.assert_close(mine.value, other.value, rtol=1e-11, atol=0)
    assert_same(mine.grads, other.grads, 1e-9)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_it_vanishes_at_the_exact_posterior(samples):
    """The encoder's gradient at every draw, and the part of the others that is noise from it."""
    known = at_posterior(2)
    noise = normals(3, 16, samples, 2)

    def encoder(estimator):
        def one(noise):
            return estimator.estimate(known.problem, known.params, noise, ()).grads["encoder"]

        return largest(leaf.abs().max() for leaf in tree.leaves(torch.vmap(one)(noise)))

    assert encoder(ESTIMATOR) < 1e-12
    assert encoder(iwae()) > 1e-2


def test_at_the_exact_posterior_all_weights_are_one_k_th():
    """There the prior's gradient is the mean over K of df/dz dT_p: its variance falls as 1/K."""
    known = at_posterior(1)

    def variance(samples):
        specs = random.Noise(random.normal, (samples, 1))
        found = moments(
            lambda e: ESTIMATOR.estimate(known.problem, known.params, e, ()).grads["prior"], specs, order=12
        )
        return torch.stack([leaf.squeeze() for leaf in tree.leaves(found.variance)])

    one = variance(1)
    assert (one > 1e-4).all()
    torch.testing.assert_close(variance(2), one / 2, rtol=1e-9, atol=0)


def test_a_prior_whose_noise_is_not_known_is_refused():
    params = {"q": {"loc": torch.zeros(2)}, "p": {"loc": torch.ones(2)}}

    def q(params):
        return BottomUp(Normal(params["q"]["loc"], torch.ones(2)), {}, ())

    def p(params):
        return TopDown(Normal(params["p"]["loc"], torch.ones(2)), {}, ())

    problem = Problem(q, lambda params, z: z[0].sum(-1), p, 1.0)
    for act in (
        lambda: ESTIMATOR.init(problem, params),
        lambda: ESTIMATOR.estimate(problem, params, (normals(0, 3, 2),), ()),
    ):
        with pytest.raises(ValueError, match="which TopDown does not give: use dreg, or a prior that has noise_of"):
            act()
    assert dreg().estimate(problem, params, (normals(0, 3, 2),), ()).value.isfinite()


def test_what_it_refuses():
    vae = small_vae(3, 2)
    params, x = parameters(vae, 0), bits(0, 3)
    for problem, match in (
        (elbo_problem(vae, x), "its KL cannot be exact"),
        (elbo_sampled_problem(vae, x, beta=0.5), "set beta to the number 1"),
        (elbo_sampled_problem(vae, x)._replace(p=None), "reparameterises the prior"),
    ):
        with pytest.raises(ValueError, match=match):
            ESTIMATOR.estimate(problem, params, normals(0, 2, 2), ())
    discrete = bernoulli_vae(3, 2, True)
    with pytest.raises(ValueError, match="discrete ones have no gradient"):
        ESTIMATOR.noise_like(elbo_sampled_problem(discrete, x), parameters(discrete, 0), 2)
    assert ESTIMATOR.evaluations(elbo_sampled_problem(vae, x).q(params), 3) == (3, 6)
