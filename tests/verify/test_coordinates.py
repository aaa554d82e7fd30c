"""Trees as vectors of named coordinates."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import tree
from vae_fn.verify.coordinates import as_tensors, coordinates_of, expand_like, tolerance_of, vector

SHAPE = st.lists(st.integers(0, 3), max_size=3).map(tuple)
TREES = st.recursive(
    SHAPE, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3) | st.tuples(inner)
)


def filled(shapes):
    """A tree of these shapes whose numbers count up, in flattening order."""
    if isinstance(shapes, dict):
        return {name: filled(inner) for name, inner in shapes.items()}
    if len(shapes) == 1 and not isinstance(shapes[0], int):
        return (filled(shapes[0]),)
    return torch.zeros(shapes)


def counted(like):
    total = iter(range(10**6))
    return tree.map(
        lambda leaf: torch.tensor([float(next(total)) for _ in range(leaf.numel())]).reshape(leaf.shape), like
    )


@given(TREES)
def test_flattening_keeps_every_number_and_its_name(shapes):
    value = counted(filled(shapes))
    if tree.size(value) == 0:
        with pytest.raises(ValueError, match="nothing to check"):
            coordinates_of(value)
        return
    coordinates, numbers = coordinates_of(value), vector(value)
    assert coordinates.size == tree.size(value) == len(numbers)
    assert numbers.dtype == torch.float64
    assert numbers.tolist() == list(range(len(numbers)))
    draws = tree.map(lambda leaf: torch.stack([leaf, leaf + 0.5]), value)
    rows = coordinates.flatten(draws, 2)
    assert torch.equal(rows, torch.stack([numbers, numbers + 0.5]))
    names = [coordinates.name(i) for i in range(coordinates.size)]
    assert len(set(names)) == len(names)


def test_names_are_paths_with_indices():
    value = {"encoder": {"0.weight": torch.zeros(4, 2), "none": torch.zeros(0, 3)}, "scale": torch.zeros(())}
    coordinates = coordinates_of(value)
    assert coordinates.name(7) == "encoder/0.weight[3, 1]"
    assert coordinates.name(8) == "scale"
    assert coordinates_of(torch.zeros(2)).name(1) == "value[1]"
    assert coordinates_of(torch.zeros(())).name(0) == "value"
    with pytest.raises(IndexError, match="9 coordinates"):
        coordinates.name(9)


@pytest.mark.parametrize(
    "draws",
    [
        {"a": torch.zeros(5, 2)},
        {"a": torch.zeros(5, 2), "b": torch.zeros(4)},
        {"a": torch.zeros(5, 3), "b": torch.zeros(5)},
        {"a": torch.zeros(5, 2), "c": torch.zeros(5)},
        torch.zeros(5, 3),
    ],
)
def test_another_tree_is_refused(draws):
    coordinates = coordinates_of({"a": torch.zeros(2), "b": torch.zeros(())})
    with pytest.raises(ValueError, match="5 draws must have the tree of the expected value"):
        coordinates.flatten(draws, 5)


def test_a_number_stands_for_every_coordinate():
    like = {"a": torch.zeros(2, 2), "b": torch.zeros(())}
    full = expand_like(0.5, like)
    assert torch.equal(full["a"], torch.full((2, 2), 0.5, dtype=torch.float64))
    assert full["b"].shape == ()
    assert expand_like(like, torch.zeros(1)) is like


def test_numbers_become_tensors_and_tensors_stay():
    kept = torch.zeros(1)
    made = as_tensors({"a": 1.5, "b": kept})
    assert made["a"].dtype == torch.float64
    assert made["b"] is kept


def test_tolerance_is_that_of_the_coarsest():
    wide, narrow = torch.zeros(1, dtype=torch.float64), torch.zeros(1)
    assert tolerance_of([wide, torch.zeros(1, dtype=torch.int64)]) == 1e-12
    assert tolerance_of([wide, narrow]) == 1e-6
    assert tolerance_of([torch.zeros(1, dtype=torch.int32), torch.ones(1, dtype=torch.bool)]) == 1e-12
    for dtype in (torch.bfloat16, torch.float16):
        third = torch.tensor(1 / 3, dtype=dtype)
        assert abs(float(third) - 1 / 3) < tolerance_of([narrow, third]) < 0.1


def test_a_complex_number_is_two():
    value = {"z": torch.tensor([1 + 2j, 3 - 4j]), "w": 5 - 6j}
    coordinates = coordinates_of(as_tensors(value))
    assert vector(as_tensors(value)).tolist() == [1, 2, 3, -4, 5, -6]
    assert [coordinates.name(i) for i in (1, 4)] == ["z[0, 1]", "w[0]"]
    draws = {"z": torch.tensor([[1 + 2j, 3 - 4j]]).conj(), "w": torch.tensor([5 - 6j])}
    assert coordinates.flatten(draws, 1).tolist() == [[1, -2, 3, 4, 5, -6]]
    assert tolerance_of([torch.zeros(1, dtype=torch.complex64)]) == 1e-6


@pytest.mark.parametrize("leaf", ["a", object(), [torch.zeros(1)].append])
def test_what_is_no_number_is_refused(leaf):
    with pytest.raises(TypeError, match="a leaf is a tensor or a number"):
        as_tensors({"a": leaf})


def test_a_list_of_draws_is_told_in_a_few_words():
    with pytest.raises(ValueError, match=r"; these are 0 \(\), 1 \(\), .*, 7 \(\), and 4,992 more$") as refused:
        coordinates_of(torch.tensor(0.5)).flatten([0.0] * 5000, 5000)
    assert len(str(refused.value)) < 300
