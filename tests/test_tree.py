import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import tree

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
    original = filled([(3,)], 0)
    copy = tree.clone(original)
    original["leaf0"].zero_()
    assert copy["leaf0"].abs().sum() > 0


def test_an_absent_part_is_no_leaf():
    sparse = {"a": torch.ones(2), "b": None}
    assert tree.scale(sparse, 2.0)["b"] is None
    assert tree.size(sparse) == 2
    assert list(tree.flat_names(sparse)) == ["a"]


def test_names_are_paths():
    nested = {"encoder": {"0.weight": torch.zeros(1)}, "pair": (torch.zeros(2), torch.zeros(3))}
    assert list(tree.flat_names(nested)) == ["encoder/0.weight", "pair/0", "pair/1"]


def test_shapes_are_known_without_computing():
    huge = torch.empty(1, 1).expand(10**6, 10**6)
    shape = tree.shapes_of(lambda x: {"y": (x @ x.T).double()}, huge)["y"]
    assert shape.shape == (10**6, 10**6)
    assert shape.dtype == torch.float64
