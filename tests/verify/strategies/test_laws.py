"""Distributions, pairs of them, and values in their support."""

import hypothesis
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vae_fn import tree
from vae_fn.distributions import Bernoulli, Categorical, Laplace, MultivariateNormal, Normal, kl
from vae_fn.verify import strategies
from vae_fn.verify.strategies import FAMILIES

MANY = settings(max_examples=300, database=None, deadline=None, derandomize=True)


@given(strategies.distributions())
def test_distributions_are_members_with_finite_densities(q):
    assert type(q) in FAMILIES
    assert len({leaf.dtype for leaf in q}) == 1
    value = strategies.laws.values(q, 0, (4,))
    assert value.shape == (4, *q.mean.shape)
    assert bool(q.log_prob(value).isfinite().all())
    if hasattr(q, "scale"):
        assert bool((q.scale > 0).all())
    if isinstance(q, MultivariateNormal):
        assert torch.equal(q.scale_tril, q.scale_tril.tril())
        assert bool((q.scale_tril.diagonal(dim1=-2, dim2=-1) > 0).all())


BATCHES = [(), (3,), (1,), (2, 2), (), (3,)]


@pytest.mark.parametrize(("family", "batch"), [*zip(FAMILIES, BATCHES, strict=True)])
def test_every_family_is_drawn_and_batch_shapes_too(family, batch):
    def wanted(q):
        return type(q) is family and q.mean.shape[: q.mean.ndim - q.event_ndim] == batch

    assert hypothesis.find(strategies.distributions(), wanted, settings=settings(MANY, phases=[Phase.generate]))


@given(
    strategies.distributions(
        [Normal], batches=[(5,)], max_d=1, shifts=[0.0], scales=[1e-6], dtypes=[torch.bfloat16]
    )
)  # fmt: skip
def test_everything_can_be_asked_for(q):
    assert q.loc.shape == (5, 1)
    assert q.loc.dtype == torch.bfloat16
    assert bool((q.loc == 0).all())
    assert 1e-8 < q.scale.max() < 1e-4


PAIRS = ((Normal, Laplace), (MultivariateNormal, Normal), (Bernoulli, Bernoulli), (Categorical, Categorical))


@given(strategies.pairs(PAIRS))
def test_pairs_have_one_event_and_batches_that_broadcast(pair):
    q, p = pair
    assert (type(q), type(p)) in PAIRS
    assert q.mean.shape[-q.event_ndim :] == p.mean.shape[-p.event_ndim :]
    assert kl(q, p).shape == q.mean.shape[: q.mean.ndim - q.event_ndim]
    assert not torch.equal(q.mean, p.mean) or bool((q.mean == 0).all())


LIKELIHOODS = strategies.distributions([Bernoulli, Categorical, Normal], scales=[1.0, 10.0])


@given(st.data(), LIKELIHOODS)
def test_targets_lie_in_the_support(data, likelihood):
    targets = data.draw(strategies.targets(likelihood, st.sampled_from([(), (4,)])))
    assert targets.shape[targets.ndim - likelihood.mean.ndim :] == likelihood.mean.shape
    assert targets.dtype == likelihood.mean.dtype
    assert bool(likelihood.log_prob(targets).isfinite().all())
    if not isinstance(likelihood, Normal):
        assert bool(((targets == 0) | (targets == 1)).all())
    if isinstance(likelihood, Categorical):
        assert bool((targets.sum(-1) == 1).all())


def test_a_bug_in_one_family_is_found_and_shrunk():
    """A divergence whose scales are taken for variances, where they are not 1."""

    def wrong(q):
        return isinstance(q, Normal) and not torch.allclose(kl(q, Normal(q.loc, q.scale.sqrt())), kl(q, q), atol=1e-3)

    found = hypothesis.find(strategies.distributions(), wrong, settings=MANY)
    assert found.loc.shape == (1,)


def test_distributions_carry_no_gradient_and_no_shared_storage():
    q = hypothesis.find(
        strategies.distributions([Laplace]),
        lambda q: q.loc.shape == (3, 2),
        settings=settings(MANY, phases=[Phase.generate]),
    )
    assert not any(leaf.requires_grad for leaf in tree.leaves(q))
    assert q.loc.data_ptr() != q.scale.data_ptr()
