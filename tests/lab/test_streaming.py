"""Draws in chunks are the same draws, in bounded memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.lab import streaming


def chunk(keys):
    draws = random.normal(keys, (3,), torch.float64)
    return streaming.sums(draws[:, 0], {"q": draws}, {"q": torch.ones(3, dtype=torch.float64)})


@given(st.integers(1, 40), st.integers(1, 50))
def test_chunks_do_not_change_what_is_drawn(draws, size):
    heard = []
    found = streaming.stream(chunk, random.key(1), draws, size, heard.append)
    whole = chunk(random.split(random.key(1), draws))
    assert sum(heard) == draws
    assert max(heard) <= size
    for a, b in zip(found[:3], whole[:3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_lengths_are_even(draws, size):
    lengths = [*streaming.lengths(draws, size)]
    assert sum(lengths) == draws
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_even_chunks_draw_hardly_more_than_is_asked_for(draws, size):
    length = streaming.evenly(draws, size)
    chunks = -(-draws // size)
    assert length <= size
    assert draws <= chunks * length < draws + chunks


def test_cosines_are_of_groups_and_undefined_at_zero():
    gradients = {"a": {"x": torch.tensor([[3.0, 0.0], [0.0, 0.0]]), "y": torch.tensor([[4.0], [0.0]])}}
    reference = {"a": {"x": torch.tensor([1.0, 0.0]), "y": torch.tensor([0.0])}}
    assert streaming._cosines(gradients["a"], reference["a"])[0] == pytest.approx(0.6)
    assert bool(streaming._cosines(gradients["a"], reference["a"])[1].isnan())


def test_what_is_computed_is_counted_without_views_and_without_running():
    x = torch.zeros(100, 200)

    def fn(x):
        return (x.expand(7, 100, 200).sum(0) @ x.T).exp()

    assert streaming.numbers_of(fn, x) == 100 * 200 + 2 * 100 * 100
    assert streaming.chunk_size(10**9, 5) == 1
    assert streaming.chunk_size(10, 5) == 5
