"""Held-out splits are partitions, epochs are permutations, batches lose nothing, and scaling is exact."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.data import Dataset, Split, batch_slices, epoch_order, hold_out, scale, to_device
from vae_fn.data.dataset import divide

SEEDS = st.integers(0, 2**63 - 1)


def numbered(n: int) -> Split:
    """Images that are their own number in base 256."""
    numbers = torch.arange(n)
    return Split(torch.stack([numbers // 256, numbers % 256], dim=1).to(torch.uint8), numbers)


def dataset(n: int) -> Dataset:
    return Dataset(numbered(n), None, numbered(3), (1, 2))


def check_partition(split, n: int, count: int, seed: int):
    parts = split(dataset(n), count, random.key(seed))
    kept, held_out = parts.train, parts.validation
    assert len(held_out.labels) == count
    assert sorted([*kept.labels.tolist(), *held_out.labels.tolist()]) == list(range(n))
    for part in (kept, held_out):
        assert part.labels.tolist() == sorted(part.labels.tolist())
        assert torch.equal(part.images, numbered(n).images[part.labels])
    assert torch.equal(parts.test.images, numbered(3).images)
    assert parts.shape == (1, 2)


@given(n=st.integers(2, 600), part=st.floats(0, 1, exclude_max=True), seed=SEEDS)
def test_holding_out_is_a_partition(n, part, seed):
    check_partition(hold_out, n, max(1, int(part * n)), seed)


def leak(data: Dataset, count: int, key) -> Dataset:
    return hold_out(data, count, key)._replace(train=data.train)


def cut(data: Dataset, count: int, key) -> Dataset:
    order = random.permutation(key, len(data.train.labels))
    return data._replace(
        train=Split(data.train.images[order[count:]], data.train.labels[order[count:]].sort().values),
        validation=Split(data.train.images[order[:count]], data.train.labels[order[:count]].sort().values),
    )


@pytest.mark.parametrize("mutant", [leak, cut])
def test_a_leak_and_labels_on_other_images_are_caught(mutant):
    with pytest.raises(AssertionError):
        check_partition(mutant, 100, 30, 0)


@given(seed=SEEDS, other=SEEDS)
def test_the_key_alone_chooses(seed, other):
    chosen = [hold_out(dataset(500), 200, random.key(s)).validation.labels.tolist() for s in (seed, seed, other)]
    assert chosen[0] == chosen[1]
    assert (chosen[0] == chosen[2]) == (seed == other)


@given(n=st.integers(2, 300), part=st.floats(0, 1, exclude_max=True), seed=SEEDS)
def test_floats_without_labels_are_held_out_as_bytes_with_labels_are(n, part, seed):
    count, data = int(part * n), dataset(n)
    bare = data._replace(train=Split(scale(data.train.images), None))
    parts, expected = hold_out(bare, count, random.key(seed)), hold_out(data, count, random.key(seed))
    assert torch.equal(parts.train.images, scale(expected.train.images))
    assert parts.train.labels is None
    assert (parts.validation is None) == (count == 0)
    if parts.validation is not None:
        assert torch.equal(parts.validation.images, scale(expected.validation.images))
        assert parts.validation.labels is None


def test_dividing_all_or_nothing():
    rest, chosen = divide(numbered(4), 4, random.key(0))
    assert (rest.images.shape, chosen.labels.tolist()) == ((0, 2), [0, 1, 2, 3])
    rest, chosen = divide(numbered(4), 0, random.key(0))
    assert (rest.labels.tolist(), chosen.images.shape) == ([0, 1, 2, 3], (0, 2))


def test_moving_to_a_device_moves_every_tensor_that_is_there():
    data = hold_out(dataset(5), 2, random.key(0))._replace(test=Split(torch.rand(3, 2, generator=generator()), None))
    moved = to_device(data, "meta")
    assert [split.images.device.type for split in moved[:3]] == ["meta"] * 3
    assert [split.images.dtype for split in moved[:3]] == [torch.uint8, torch.uint8, torch.float32]
    assert moved.train.labels.device.type == moved.validation.labels.device.type == "meta"
    assert moved.test.labels is None
    assert moved.shape == data.shape
    assert to_device(dataset(5), "cpu").validation is None


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_holding_out_none():
    assert hold_out(dataset(5), 0, random.key(0)).validation is None


@pytest.mark.parametrize("count", [5, 6])
def test_impossible_counts(count):
    with pytest.raises(ValueError, match=f"cannot hold out {count} of 5 .* from 0 to 4"):
        hold_out(dataset(5), count, random.key(0))


@pytest.mark.parametrize("count", [-1, 0.1, 5.0, "2", None])
def test_what_is_held_out_is_a_count(count, unchecked):
    said = re.escape(f"count={count!r} is out of range: give a whole number, 0 or more")
    with pytest.raises(ValueError, match=f"^{said}$"):
        hold_out(dataset(5), count, random.key(0))


@pytest.mark.parametrize("n", [-1, 5.0, "5", torch.zeros(5, 3)])
def test_batches_are_cut_from_a_number_of_images(n, unchecked):
    with pytest.raises(ValueError, match=r"^n=.* is out of range: give a whole number, 0 or more$"):
        batch_slices(n, 2)


@pytest.mark.parametrize("batch_size", [-1, 0, 0.5, 2.0, "2", None])
def test_a_batch_is_a_number_of_images(batch_size, unchecked):
    said = re.escape(f"batch_size={batch_size!r} is out of range: give a whole number, 1 or more")
    with pytest.raises(ValueError, match=f"^{said}$"):
        batch_slices(5, batch_size)


def test_holding_out_twice():
    with pytest.raises(ValueError, match="hold out once"):
        hold_out(hold_out(dataset(5), 2, random.key(0)), 1, random.key(0))


def check_orders(order, n: int, seed: int):
    key = random.key(seed)
    orders = [order(key, epoch, n).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(n)) for epoch in orders)
    assert order(key, 1, n).tolist() == orders[1]
    assert n < 30 or (orders[0] != orders[1] and orders[1] != orders[2] and orders[0] != orders[2])


@given(n=st.integers(1, 300), seed=SEEDS)
def test_an_epoch_visits_every_image_once_in_its_own_order(n, seed):
    check_orders(epoch_order, n, seed)


def with_replacement(key, epoch: int, n: int) -> torch.Tensor:
    return (random.uniform(random.fold_in(key, epoch), (n,)) * n).long()


def one_order(key, epoch: int, n: int) -> torch.Tensor:
    return random.permutation(key, n)


@pytest.mark.parametrize("mutant", [with_replacement, one_order])
def test_orders_with_replacement_or_without_the_epoch_are_caught(mutant):
    with pytest.raises(AssertionError):
        check_orders(mutant, 100, 0)


def check_batches(slices, n: int, batch_size: int):
    batches = [range(n)[batch] for batch in slices(n, batch_size)]
    assert [i for batch in batches for i in batch] == list(range(n))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(0 < len(batch) <= batch_size for batch in batches)


@given(n=st.integers(0, 500), batch_size=st.integers(1, 600))
def test_batches_are_all_images_in_turn(n, batch_size):
    check_batches(batch_slices, n, batch_size)


def test_dropping_the_last_batch_is_caught():
    with pytest.raises(AssertionError):
        check_batches(lambda n, size: batch_slices(n - n % size, size), 10, 4)


def test_the_batches_of_mnist():
    slices = batch_slices(60_000, 128)
    assert len(slices) == 469
    assert slices[-1] == slice(59_904, 60_000)
    assert slices[-1].stop - slices[-1].start == 96


def check_scale(fn):
    scaled = fn(torch.arange(256, dtype=torch.uint8))
    assert scaled.dtype == torch.float32
    assert scaled[0] == 0
    assert scaled[255] == 1
    assert np.array_equal(scaled.numpy(), np.arange(256, dtype=np.float32) / np.float32(255))


def test_scaling_is_float32_division():
    check_scale(scale)


def test_scaling_by_256_is_caught():
    with pytest.raises(AssertionError):
        check_scale(lambda pixels: pixels.float() / 256)


def test_floats_are_scaled_already():
    pixels = torch.rand(7, 3, generator=generator())
    assert scale(pixels) is pixels


def test_scaling_compiled(fresh_compiler):
    check_scale(torch.compile(scale, fullgraph=True))
