"""Reductions of per-example gradients against gradients that are taken one by one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import models, random, tree
from vae_fn.gradients import elbo_problem, elbo_sampled_problem, per_example
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.models.networks import mlp

VAE = models.build(mlp([12, 10, 4]), mlp([2, 10, 12]), data_dim=12, latent_dim=2)
PARAMS = tree.map(torch.Tensor.double, VAE.init(random.key(0)))


def setting(name="pathwise", b=5, k=2):
    """A gradient of one example, and its batch."""
    x = (random.uniform(random.key(1), (b, 12), torch.float64) > 0.5).double()
    noise = random.normal(random.key(2), (k, b, 2), torch.float64)
    return per_example.estimated(CATALOGUE[name].make(), lambda x: elbo_sampled_problem(VAE, x)), x, noise


def one_by_one(gradient, x, noise):
    """Values `(b,)` and gradients `(b, p)`."""
    found = [gradient(PARAMS, x[i], noise[:, i]) for i in range(len(x))]
    return torch.stack([value for value, _ in found]), torch.stack([flat(grads) for _, grads in found])


def flat(grads):
    return torch.cat([leaf.flatten() for leaf in tree.leaves(grads)])


DIRECTION = tree.map(lambda leaf: torch.cos(torch.arange(leaf.numel()).double()).reshape(leaf.shape), PARAMS)

REDUCTIONS = {
    "norm": (per_example.norm, lambda g: g.norm(dim=1)),
    "mean": (per_example.mean, lambda g: g.mean(0)),
    "clipped mean": (
        per_example.clipped_mean(2.0),
        lambda g: (g * (2.0 / g.norm(dim=1)).clamp(max=1).unsqueeze(1)).mean(0),
    ),
    "second moment": (per_example.second_moment, lambda g: g.square().mean(0)),
    "variance": (per_example.variance, lambda g: g.var(0)),
    "dot": (per_example.dot(DIRECTION), lambda g: g @ flat(DIRECTION)),
    "cosine": (per_example.cosine(DIRECTION), lambda g: torch.cosine_similarity(g, flat(DIRECTION)[None])),
}


def reduced(reduce, gradient, x, noise):
    values, found = per_example.per_example(gradient, reduce, in_dims=(0, 1))(PARAMS, x, noise)
    return values, found if isinstance(found, torch.Tensor) else flat(found)


@pytest.mark.parametrize("estimator", ["pathwise", "dreg", "rloo", "measure-valued"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_are_those_of_single_gradients(name, estimator):
    ours, plain = REDUCTIONS[name]
    gradient, x, noise = setting(estimator)
    if estimator == "measure-valued":
        specs = CATALOGUE[estimator].make().noise_like(elbo_sampled_problem(VAE, x), PARAMS, 2)
        noise = random.draw(random.key(3), specs, torch.float64)
        dims = tree.map(lambda leaf: 1, noise)
        values, found = per_example.per_example(gradient, ours, in_dims=(0, dims))(PARAMS, x, noise)
        single = [gradient(PARAMS, x[i], tree.map(lambda leaf, i=i: leaf[:, i], noise)) for i in range(len(x))]
        expected = torch.stack([v for v, _ in single]), torch.stack([flat(g) for _, g in single])
        found = found if isinstance(found, torch.Tensor) else flat(found)
    else:
        expected = one_by_one(gradient, x, noise)
        values, found = reduced(ours, gradient, x, noise)
    torch.testing.assert_close(values, expected[0])
    torch.testing.assert_close(found, plain(expected[1]), rtol=1e-9, atol=1e-11)


@given(st.integers(2, 6), st.integers(1, 4))
def test_any_batch_and_number_of_samples(b, k):
    gradient, x, noise = setting("stl", b, k)
    _, grads = one_by_one(gradient, x, noise)
    for ours, plain in REDUCTIONS.values():
        torch.testing.assert_close(reduced(ours, gradient, x, noise)[1], plain(grads), rtol=1e-9, atol=1e-11)


def test_norms_are_by_leaf_and_gradients_come_when_asked_for():
    gradient, x, noise = setting()
    _, grads = per_example.per_example(gradient, lambda grads: grads, (0, 1))(PARAMS, x, noise)
    _, norms = per_example.per_example(gradient, per_example.norms, (0, 1))(PARAMS, x, noise)
    for leaf, length in zip(tree.leaves(grads), tree.leaves(norms), strict=True):
        torch.testing.assert_close(length, leaf.flatten(1).norm(dim=1))


def test_any_loss_will_do():
    """Of the posterior mean alone, without noise."""
    x = setting()[1]

    def loss(params, x):
        return elbo_problem(VAE, x).f(params, VAE.posterior(params, x, None).loc.unsqueeze(0)).sum()

    values, norm = per_example.per_example(per_example.differentiated(loss), per_example.norm)(PARAMS, x)
    for i in range(len(x)):
        grads, value = torch.func.grad_and_value(loss)(PARAMS, x[i])
        torch.testing.assert_close(values[i], value)
        torch.testing.assert_close(norm[i], flat(grads).norm())


def test_clipping_the_mean_is_not_clipping_each():
    gradient, x, noise = setting()
    _, grads = one_by_one(gradient, x, noise)
    clipped = reduced(per_example.clipped_mean(2.0), gradient, x, noise)[1]
    mean = grads.mean(0)
    assert not torch.allclose(clipped, mean * (2.0 / mean.norm()).clamp(max=1), rtol=1e-2)
    torch.testing.assert_close(reduced(per_example.clipped_mean(1e9), gradient, x, noise)[1], mean)


def test_a_gradient_of_zero_stays_zero():
    zero = {"q": torch.zeros(3, 2)}
    assert torch.equal(per_example.clipped_mean(1.0)(zero)["q"], torch.zeros(2))
    assert per_example.cosine({"q": torch.ones(2)})(zero).isnan().all()


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match="positive length, not 0"):
        per_example.clipped_mean(0.0)
    with pytest.raises(ValueError, match="give two or more"):
        per_example.variance({"q": torch.ones(1, 2)})
