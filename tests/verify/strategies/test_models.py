"""Small VAEs, problems with known answers, hyperparameters."""

import hypothesis
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.training import adamw
from vae_fn.verify import strategies
from vae_fn.verify.problems import AVERAGES, Known
from vae_fn.verify.strategies import SmallVAE

FEW = settings(max_examples=8)
MANY = settings(max_examples=300, database=None, deadline=None, derandomize=True)


@FEW
@given(st.data(), strategies.vaes(), strategies.keys())
def test_vaes_give_finite_objectives_of_targets_in_their_support(data, small, key):
    vae = small.vae
    params = vae.init(key)
    z = torch.zeros(4, small.latent_dim)
    likelihood = vae.likelihood(params, z, None)
    x = data.draw(strategies.targets(likelihood))
    assert x.shape == (4, small.data_dim)
    noise = random.draw(random.fold_in(key, 1), vae.posterior(params, x, None).noise_like())
    value = vae.posterior(params, x, None).sample(noise)
    assert value.shape == (4, small.latent_dim)
    assert bool(vae.likelihood(params, value, None).log_prob(x).isfinite().all())


@pytest.mark.parametrize("posterior", ["normal", "laplace", "logistic", "full_normal"])
def test_every_head_is_drawn_and_shrinks_to_a_linear_one(posterior):
    found = hypothesis.find(strategies.vaes(), lambda small: small.posterior == posterior, settings=MANY)
    assert found == SmallVAE(1, 1, (), posterior, "bernoulli")
    assert found.vae is SmallVAE(1, 1, (), posterior, "bernoulli").vae


@FEW
@given(strategies.problems())
def test_problems_have_values_and_gradients(known):
    assert isinstance(known, Known)
    found = known.exact(1, AVERAGES["the ELBO"])
    assert found["value"].isfinite()
    assert found["grads"].keys() == known.params.keys()


def test_problems_of_one_kind():
    assert hypothesis.find(strategies.problems(continuous=False), lambda known: True, settings=MANY).discrete
    with pytest.raises(hypothesis.errors.NoSuchExample):
        hypothesis.find(strategies.problems(discrete=False), lambda known: known.discrete, settings=MANY)
    with pytest.raises(ValueError, match="continuous problems, discrete ones, or both"):
        strategies.problems(continuous=False, discrete=False)


@given(
    rate=strategies.learning_rates(),
    betas=strategies.betas(),
    decay=strategies.decays(),
    momentum=strategies.momenta(),
    samples=strategies.sample_counts(2),
)
def test_hyperparameters_are_in_their_ranges(rate, betas, decay, momentum, samples):
    assert 0 <= rate < 1
    assert all(0 <= beta < 1 for beta in (*betas, momentum))
    assert samples >= 2
    params = {"w": torch.ones(2)}
    optimizer = adamw(rate, *betas, weight_decay=decay)
    updated, _ = optimizer.update({"w": torch.ones(2)}, optimizer.init(params), params)
    assert bool(updated["w"].isfinite().all())
