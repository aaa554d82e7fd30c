"""The batch of a distribution, and values for all of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.distributions.test_layered import CHAINS, DIRECTIONS, make
from vae_fn.distributions import Bernoulli, Categorical, MultivariateNormal, Normal, batch_shape, over_batch

FAMILIES = {
    "normal": lambda b: Normal(torch.zeros(*b, 2), torch.ones(2)),
    "bernoulli": lambda b: Bernoulli(torch.zeros(*b, 2)),
    "categorical": lambda b: Categorical(torch.zeros(*b, 2, 3)),
    "multivariate": lambda b: MultivariateNormal(torch.zeros(*b, 2), torch.eye(2)),
}


@pytest.mark.parametrize("batch", [(), (3,), (2, 2), (0,)])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_batch_is_what_is_before_the_event(name, batch):
    assert tuple(batch_shape(FAMILIES[name](batch))) == batch


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kinds", [*CHAINS][:12])
def test_layers_have_one_batch(direction, kinds):
    assert tuple(batch_shape(make(direction, kinds, (3,)))) == (3,)


@given(st.integers(1, 3), st.lists(st.integers(1, 3), max_size=2).map(tuple), st.integers(0, 2))
def test_values_are_the_same_for_every_example(n, batch, event_ndim):
    values = torch.arange(n * 4.0**event_ndim).reshape(n, *(4,) * event_ndim)
    spread = over_batch(values, event_ndim, batch)
    assert spread.shape == (n, *batch, *values.shape[1:])
    for each in spread.reshape(n, -1, *values.shape[1:]).unbind(1):
        assert torch.equal(each, values)
