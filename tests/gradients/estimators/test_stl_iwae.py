"""Sticking the landing in the K-sample bound: still at the optimum, biased elsewhere, and it says so."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.references import assert_same
from tests.models.toys import bits, learned_prior, normals, parameters, small_vae
from vae_fn import random, tree, verify
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import dreg, iwae, sticking_the_landing, stl_iwae
from vae_fn.gradients.oracles.moments import moments
from vae_fn.verify.estimators.identities import still
from vae_fn.verify.problems import AVERAGES, bernoulli_decoder

SEED = st.integers(0, 2**31)


def draws(seed, samples):
    vae = learned_prior(small_vae(3, 2), 2)
    params, x, noise = parameters(vae, seed), bits(seed, 2, 3), normals(seed, samples, 2, 2)
    problem = elbo_sampled_problem(vae, x)
    return lambda estimator: estimator.estimate(problem, params, noise, ())


@given(seed=SEED)
@settings(max_examples=5)
def test_with_one_sample_it_is_the_landing(seed):
    at = draws(seed, 1)
    assert_same(at(stl_iwae()).grads, at(sticking_the_landing()).grads, 1e-12)


@given(seed=SEED, samples=st.integers(1, 4))
@settings(max_examples=5)
def test_only_the_encoder_s_gradient_differs_from_the_bound_s(seed, samples):
    at = draws(seed, samples)
    mine, bound, other = at(stl_iwae()), at(iwae()), at(dreg())
    assert torch.equal(mine.value, bound.value)
    for part in ("decoder", "prior"):
        assert all(map(torch.equal, tree.leaves(mine.grads[part]), tree.leaves(bound.grads[part])))
    assert samples == 1 or not torch.allclose(
        tree.leaves(mine.grads["encoder"])[0], tree.leaves(other.grads["encoder"])[0], rtol=1e-3
    )


def test_it_is_still_at_the_exact_posterior():
    assert still(stl_iwae(), 3).check().passed


def test_its_bias_is_what_it_leaves_out():
    """E of the missing part, sum w~ dlog q, is the gap to the exact gradient of the encoder."""
    known, samples = bernoulli_decoder(1), 2
    specs = random.Noise(random.normal, (samples, 1))

    def both(noise):
        made = [each.estimate(known.problem, known.params, noise, ()).grads["encoder"] for each in (stl_iwae(), iwae())]
        return made[0], tree.map(torch.sub, *made)

    found, left_out = moments(both, specs, order=40).mean
    exact = known.exact(samples, AVERAGES["the K-sample bound"])["grads"]["encoder"]
    bias = tree.map(torch.sub, found, exact)
    assert_same({"encoder": bias}, {"encoder": left_out}, 1e-8)
    assert max(leaf.abs().max() for leaf in tree.leaves(bias)) > 0.02


def test_no_claim_is_made_and_none_can_be():
    assert stl_iwae().unbiased_for.startswith("nothing: ")
    report = verify.unbiased(stl_iwae())
    assert not report.verdicts
    for target in AVERAGES:
        with pytest.raises(ValueError, match=rf"stl-iwae is not unbiased for {target}.*use dreg"):
            stl_iwae(unbiased_for=target)
