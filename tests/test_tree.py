import itertools
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from vae_fn import tree, verify

shapes = st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=4)


def filled(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {f"leaf{i}": torch.randn(size, generator=generator, dtype=torch.float64) for i, size in enumerate(sizes)}


@given(shapes, st.integers(0, 2**32))
def test_arithmetic_is_that_of_the_flattened_vector(sizes, seed):
    first, second = filled(sizes, seed), filled(sizes, seed + 1)

    def flat(t):
        return torch.cat([leaf.reshape(-1) for leaf in tree.leaves(t)])

    torch.testing.assert_close(flat(tree.add(first, second, first)), 2 * flat(first) + flat(second))
    torch.testing.assert_close(flat(tree.scale(first, -3.0)), -3 * flat(first))
    torch.testing.assert_close(tree.global_norm(first), flat(first).norm())
    assert tree.size(first) == flat(first).numel()
    assert flat(tree.zeros_like(first)).abs().sum() == 0


def test_a_clone_shares_no_storage():
    for absent in (None, torch.empty(0)):
        verify.pure(tree.clone, {"part": filled([(3,), ()], 0), "absent": absent}).check()


def test_an_absent_part_is_no_leaf():
    sparse = {"a": torch.ones(2), "b": None}
    assert tree.scale(sparse, 2.0)["b"] is None
    assert tree.size(sparse) == 2
    assert list(tree.flat_names(sparse)) == ["a"]


def test_a_part_that_another_tree_has_is_not_dropped_in_silence():
    with pytest.raises(ValueError, match=r"absent \(None\) in one tree and there in another: give trees with"):
        tree.map(lambda a, b: a, {"a": None}, {"a": torch.ones(2)})


def test_names_are_paths():
    nested = {"encoder": {"0.weight": torch.zeros(1)}, "pair": (torch.zeros(2), torch.zeros(3))}
    assert list(tree.flat_names(nested)) == ["encoder/0.weight", "pair/0", "pair/1"]


leaves = st.none() | st.lists(st.integers(0, 3), max_size=2).map(tuple)
nested = st.recursive(
    leaves,
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.tuples(parts, parts).map(lambda pair: Pair(*pair))
        | st.dictionaries(st.sampled_from(["0.weight", "0.bias", "encoder", "b"]), parts, max_size=3)
    ),
    max_leaves=6,
)


class Pair(NamedTuple):
    state: Any
    pending: Any


def is_shape(value):
    return type(value) is tuple and all(type(size) is int for size in value)


def filled_in(shapes, start):
    """The tree of distinct tensors of these shapes."""
    counter = itertools.count(start)
    return pytree.tree_map(
        lambda shape: None if shape is None else torch.full(shape, float(next(counter))), shapes, is_leaf=is_shape
    )


def check_inverse(from_names, shapes):
    """From the names of one tree and the structure of another comes the first, absent parts where they were."""
    original, like = filled_in(shapes, 1), filled_in(shapes, 100)
    again = from_names(tree.flat_names(original), like)
    found, structure = pytree.tree_flatten(again)
    expected, same = pytree.tree_flatten(original)
    assert structure == same
    assert all(a is b for a, b in zip(found, expected, strict=True))


@given(nested)
def test_from_names_is_the_inverse_of_flat_names(shapes):
    check_inverse(tree.from_names, shapes)


def by_order(named, like):
    leaves = iter(sorted(named))
    return tree.map(lambda leaf: named[next(leaves)], like)


@pytest.mark.parametrize("mutant", [by_order, lambda named, like: like, lambda named, like: dict(named)])
def test_check_inverse_rejects(mutant):
    with pytest.raises(AssertionError):
        check_inverse(mutant, {"b": (2,), "encoder": {"0.weight": (), "0.bias": None}, "a": (3,)})


def test_a_leaf_without_its_name_is_missing():
    with pytest.raises(KeyError, match="encoder/b"):
        tree.from_names({"encoder/a": torch.ones(1)}, {"encoder": {"a": torch.ones(1), "b": torch.ones(1)}})


@pytest.mark.parametrize(
    ("alike", "name"),
    [
        ({"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}}, "a/b"),
        ({"c": torch.ones(2), "a": {0: torch.ones(1), "0": torch.zeros(1)}}, "a/0"),
        ([{"b/1": torch.ones(1), "b": [torch.zeros(1), torch.zeros(1)]}], "0/b/1"),
    ],
)
def test_two_leaves_of_one_name_are_refused(alike, name):
    refusal = f"two leaves of a tree are named '{name}': rename one"
    with pytest.raises(ValueError, match=refusal):
        tree.flat_names(alike)
    with pytest.raises(ValueError, match=refusal):
        tree.from_names({"a/b": 1, "a/0": 2, "c": 3, "0/b/0": 4, "0/b/1": 5}, alike)
    absent = {"a/b": None, "a": {"b": torch.zeros(1)}}
    assert list(tree.flat_names(absent)) == ["a/b"]
    check_inverse(tree.from_names, {"a/b": None, "a": {"b": (2,)}})


def test_shapes_are_known_without_computing():
    huge = torch.empty(1, 1).expand(10**6, 10**6)
    shape = tree.shapes_of(lambda x: {"y": (x @ x.T).double()}, huge)["y"]
    assert shape.shape == (10**6, 10**6)
    assert shape.dtype == torch.float64


def test_second_derivatives_of_the_norm_hold_where_a_row_is_zero():
    rows = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([0.5, 0.0], dtype=torch.float64)

    def flat(v):
        return tree.global_norm({"w": v[:6].view(3, 2), "b": v[6:]})

    v = torch.cat([rows.flatten(), b])
    norm = v.norm()
    exact = (torch.eye(8, dtype=torch.float64) - torch.outer(v, v) / norm**2) / norm
    torch.testing.assert_close(torch.func.jacrev(torch.func.grad(flat))(v), exact, rtol=1e-12, atol=1e-14)
    assert torch.equal(torch.func.grad(flat)(torch.zeros_like(v)), torch.zeros_like(v))
