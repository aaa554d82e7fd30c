"""Layers of latents, in both directions, against sums over all their values and against torch layer by layer."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import vjp
from torch.utils import _pytree as pytree

from tests.distributions.families import key_of
from vae_fn import random, tree
from vae_fn.distributions import (
    Bernoulli,
    BottomUp,
    Categorical,
    Distribution,
    Family,
    Normal,
    TopDown,
    central,
    conditional,
    has_closed_form,
    is_discrete,
    kl,
    kl_monte_carlo,
)

KINDS = (Bernoulli, Categorical, Normal)
DIRECTIONS = (BottomUp, TopDown)
EVENTS = {Bernoulli: (2,), Categorical: (2, 3), Normal: (2,)}


def family_of(kind: type, raw: torch.Tensor) -> Family:
    """A distribution of a kind from `(*b, 6)` numbers."""
    if kind is Normal:
        return Normal(raw[..., :2], raw[..., 2:4].tanh().exp())
    return Categorical(raw.unflatten(-1, (2, 3))) if kind is Categorical else Bernoulli(raw[..., :2])


def given_neighbour(source: type, kind: type, name: str):
    return lambda params, z: family_of(kind, z.flatten(z.ndim - len(EVENTS[source])) @ params[name])


def conditionals(kinds: tuple[type, ...]) -> tuple:
    """Of the layers after the first, in the order of drawing: each reads the matrix named by its place."""
    places = enumerate(pairwise(kinds))
    made = ((given_neighbour(source, kind, str(i)), family_of(kind, torch.zeros(6))) for i, (source, kind) in places)
    return tuple(conditional(*each) for each in made)


CHAINS = {kinds: conditionals(kinds) for length in (1, 2, 3) for kinds in product(KINDS, repeat=length)}
"""Made once, as a model does: conditionals are constants."""


def make(direction: type, kinds: tuple[type, ...], batch: tuple[int, ...] = ()) -> BottomUp | TopDown:
    """Layers of these kinds, in the order of drawing, with parameters hashed from what they are."""
    what = (direction.__name__, *(kind.__name__ for kind in kinds), batch)
    sizes = [torch.Size(EVENTS[kind]).numel() for kind in kinds[:-1]]
    params = {str(i): random.normal(key_of(*what, i), (size, 6)).double() for i, size in enumerate(sizes)}
    return direction(family_of(kinds[0], random.normal(key_of(*what), (*batch, 6)).double()), params, CHAINS[kinds])


def draw(q: Distribution, *front: int):
    noise = random.draw(key_of("noise"), q.noise_like(front), torch.float64)
    return noise, q.sample(noise)


every_layered = given(
    direction=st.sampled_from(DIRECTIONS),
    kinds=st.sampled_from(list(CHAINS)),
    batch=st.sampled_from([(), (3,), (2, 2)]),
)
PAIRS = [kinds for kinds in CHAINS if Normal not in kinds and len(kinds) == 2]
discrete = pytest.mark.parametrize("kinds", PAIRS, ids=["-".join(kind.__name__ for kind in kinds) for kinds in PAIRS])
both = pytest.mark.parametrize("direction", DIRECTIONS)


def by_torch(q: BottomUp | TopDown, value: tuple) -> list[torch.Tensor]:
    """The log density of each layer by torch, in the order of drawing, from the formula of the matrices."""
    terms, kinds = [q.first.to_torch().log_prob(value[q.order[0]])], [q.families[i] for i in q.order]
    for place in range(1, len(kinds)):
        source = value[q.order[place - 1]]
        raw = source.flatten(source.ndim - len(EVENTS[kinds[place - 1]])) @ q.params[str(place - 1)]
        terms.append(family_of(kinds[place], raw).to_torch().log_prob(value[q.order[place]]))
    return terms


@every_layered
def test_each_layer_is_torchs_given_its_neighbour(direction, kinds, batch):
    q = make(direction, kinds, batch)
    noise, value = draw(q, 4)
    expected = by_torch(q, value)
    for index, term in zip(q.order, expected, strict=True):
        torch.testing.assert_close(q.log_probs(value)[index], term, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.log_prob(value), sum(expected))
    torch.testing.assert_close(q.log_prob_from_noise(noise, value), sum(expected))


@every_layered
def test_it_is_a_distribution_over_a_tuple_in_one_order(direction, kinds, batch):
    q = make(direction, kinds, batch)
    assert isinstance(q, Distribution)
    assert not isinstance(q, Family)
    assert all(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(q))
    _, value = draw(q, 4)
    assert [tuple(each.shape) for each in value] == [(4, *batch, *EVENTS[kind]) for kind in q.families]
    assert [type(each) for each in q.layers(value)] == list(q.families)
    assert q.event_ndim == tuple(len(EVENTS[kind]) for kind in q.families)
    assert is_discrete(q) == any(kind is not Normal for kind in q.families)


@both
@discrete
def test_masses_sum_to_one_and_the_order_of_the_layers_matters(direction, kinds):
    q = make(direction, kinds, (3,))
    values = q.states()
    masses = q.log_prob(tuple(each.unsqueeze(1) for each in values)).exp()
    torch.testing.assert_close(masses.sum(0), torch.ones(3, dtype=torch.float64))
    assert len({tuple(row) for row in torch.cat([each.flatten(1) for each in values], 1).tolist()}) == len(masses)
    if kinds[0] is kinds[1]:
        swapped = q.log_prob(tuple(each.unsqueeze(1) for each in reversed(values))).exp()
        assert (swapped - masses).abs().max() > 1e-3


@both
def test_layer_is_given_its_own_neighbour(direction):
    q = make(direction, (Bernoulli, Bernoulli, Bernoulli))
    _, value = draw(q, 4)
    last, middle, first = q.order[2], q.order[1], q.order[0]
    assert torch.equal(q.layer(last, value[middle]).logits, q.layers(value)[last].logits)
    assert q.layer(first) is q.first
    assert not torch.equal(q.layer(last, value[first]).logits, q.layers(value)[last].logits)
    with pytest.raises(ValueError, match=f"layer {last} is drawn given layer {middle}"):
        q.layer(last)


def test_states_are_refused_with_the_alternative():
    wide = Bernoulli(torch.zeros(10))
    chain = (conditional(lambda params, z: Bernoulli(z), wide),)
    with pytest.raises(ValueError, match=r"layers of 1024, 1024 states have together 1048576 states.*or sample"):
        BottomUp(wide, {}, chain).states()
    with pytest.raises(TypeError, match="Normal layer cannot be listed: integrate or sample"):
        make(TopDown, (Bernoulli, Normal)).states()


@both
@discrete
def test_the_divergence_of_layers_is_sampled_right(direction, kinds):
    q, p = make(BottomUp, kinds), make(TopDown, kinds[::-1])
    values = q.states()
    exact = (q.log_prob(values).exp() * (q.log_prob(values) - p.log_prob(values))).sum()
    noise, value = draw(q, 4)
    drawn = q.log_prob(value) - p.log_prob(value)
    torch.testing.assert_close(kl_monte_carlo(q, p, noise), drawn.mean(0))
    assert exact > 0
    assert not has_closed_form(q, p)
    with pytest.raises(NotImplementedError, match="kl_monte_carlo"):
        kl(q, p)


@both
def test_the_central_value_is_the_most_probable_layer_by_layer(direction):
    q = make(direction, (Categorical, Bernoulli))
    top, bits = (central(q)[i] for i in q.order)
    assert torch.equal(top, torch.nn.functional.one_hot(q.first.logits.argmax(-1), 3).double())
    assert torch.equal(bits, (q.layer(q.order[1], top).logits > 0).double())
    normal = make(direction, (Normal,))
    assert torch.equal(central(normal)[0], normal.first.loc)


def pulled(q: BottomUp | TopDown, noise: tuple) -> tuple:
    """What an estimator does to a distribution: pulls through its values and through its density."""
    value, pull_value = vjp(lambda q: q.sample(noise), q)
    log_q, pull_density = vjp(lambda q: q.log_prob_from_noise(noise, value), q)
    return log_q, tree.add(pull_value(tree.map(torch.ones_like, value))[0], pull_density(torch.ones_like(log_q))[0])


@both
def test_vmapped_as_in_a_batch(direction):
    q = make(direction, (Normal, Bernoulli, Categorical), (3,))
    noise, _ = draw(q, 4)
    axes = direction(0, None, None)
    each = torch.vmap(lambda q, noise: pulled(q, noise)[0], in_dims=(axes, 1), out_dims=1)(q, noise)
    torch.testing.assert_close(each, pulled(q, noise)[0])


@both
def test_compiled_once_as_eager(direction, fresh_compiler):
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def of(first: torch.Tensor, params: dict, noise: tuple):
        q = direction(Bernoulli(first), params, CHAINS[(Bernoulli, Categorical)])
        return pulled(q, noise)

    compiled = torch.compile(of, fullgraph=True, dynamic=False, backend=counting)
    for batch in range(2):
        q = make(direction, (Bernoulli, Categorical), (3,))
        noise, _ = draw(q, 4)
        torch.testing.assert_close(
            compiled(q.first.logits + batch, q.params, noise), of(q.first.logits + batch, q.params, noise)
        )
    assert len(graphs) == 1
