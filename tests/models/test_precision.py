"""Networks in bfloat16: what is rounded, what is not, and that gradients come back whole."""

import pytest
import torch

from tests.models.toys import bits
from vae_fn import gradients, random, tree
from vae_fn.distributions import kl
from vae_fn.gradients import estimators
from vae_fn.models import VAE, bfloat16_trunk, heads, mlp, priors
from vae_fn.models.vae import build

KEY = random.key(5)


def vae_of(prior=priors.normal) -> VAE:
    return build(mlp([6, 16, 4]), mlp([2, 16, 6]), data_dim=6, latent_dim=2, prior=prior)


def learned_prior() -> VAE:
    return vae_of(priors.learned(heads.normal))


def test_networks_compute_in_bfloat16_and_heads_in_float32():
    vae = vae_of()
    low, params = bfloat16_trunk(vae), vae.init(KEY)
    x = bits(0, 4, 6).float()
    q, p = low.posterior(params, x, None), low.likelihood(params, torch.zeros(4, 2), None)
    assert {leaf.dtype for leaf in tree.leaves((q, p))} == {torch.float32}
    rounded = tree.map(torch.Tensor.bfloat16, params)
    assert torch.equal(q.loc, vae.posterior(rounded, x, None).loc)
    exact = vae.posterior(params, x, None)
    assert not torch.equal(q.loc, exact.loc)
    torch.testing.assert_close(q.loc, exact.loc, rtol=0.05, atol=0.02)


def test_the_prior_and_its_parameters_are_left_alone():
    vae = learned_prior()
    params = tree.map(lambda leaf: leaf + 1 / 3, vae.init(KEY))
    for one, other in zip(
        tree.leaves(vae.prior(params, None)), tree.leaves(bfloat16_trunk(vae).prior(params, None)), strict=True
    ):
        assert torch.equal(one, other)


def test_gradients_come_back_in_the_parameters_dtype_and_near_the_exact_ones():
    """Each within a few parts in 2**8 of the longest; a trunk that cut the gradient would give zeros."""
    vae, x = learned_prior(), bits(1, 8, 6).float()
    params, noise = vae.init(KEY), random.normal(random.fold_in(KEY, 1), (8, 2))

    def loss(params, vae):
        q = vae.posterior(params, x, None)
        fit = vae.likelihood(params, q.sample(noise), None).log_prob(x)
        return (kl(q, vae.prior(params, None)) - fit).mean()

    low = torch.func.grad(loss)(params, bfloat16_trunk(vae))
    exact = torch.func.grad(loss)(tree.map(torch.Tensor.double, params), vae)
    for found, expected in zip(tree.leaves(low), tree.leaves(exact), strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).norm() <= 0.06 * expected.norm() + 1e-3


@pytest.mark.parametrize("head", [heads.bernoulli, heads.normal])
def test_log_densities_are_not_rounded(head):
    """A log-likelihood in bfloat16 would be a multiple of 2 beyond 256."""
    vae = bfloat16_trunk(build(mlp([400, 4]), mlp([2, head.width(400)]), data_dim=400, latent_dim=2, likelihood=head))
    params = vae.init(KEY)
    found = vae.likelihood(params, torch.zeros(3, 2), None).log_prob(bits(2, 3, 400).float())
    assert not torch.equal(found, found.bfloat16().float())


def test_the_elbo_problem_takes_it():
    vae = bfloat16_trunk(vae_of())
    params = vae.init(KEY)
    problem = gradients.elbo_problem(vae, bits(3, 4, 6).float(), None, 1.0)
    found = estimators.pathwise().estimate(problem, params, random.normal(KEY, (1, 4, 2)), None)
    assert {leaf.dtype for leaf in tree.leaves((found.value, found.grads))} == {torch.float32}
