"""Black boxes made of functions of noise, and of code that uses global generators."""

import functools
import random as python_random

import numpy as np
import pytest
import torch

from vae_fn import random
from vae_fn.random import Noise
from vae_fn.verify import draws, draws_of, seeded
from vae_fn.verify.seeds import name_of

KEY = random.key(3)


def test_draws_of_a_function_are_the_function_of_draws():
    specs = {"a": Noise(random.normal, (2,)), "b": Noise(random.uniform, ())}
    draw = draws_of(lambda noise: (noise["a"] * noise["b"], noise["b"]), specs, torch.float64)
    found = draw(KEY, 7)
    noise = random.draw(KEY, {"a": Noise(random.normal, (7, 2)), "b": Noise(random.uniform, (7,))}, torch.float64)
    assert torch.equal(found[0], noise["a"] * noise["b"][:, None])
    assert torch.equal(found[1], noise["b"])


def test_a_number_means_normal_noise_and_chunks_change_nothing(monkeypatch):
    draw = draws_of(lambda e: e.sum(), 3)
    whole = draw(KEY, 10)
    assert whole.shape == (10,)
    assert whole.dtype == torch.float32
    monkeypatch.setattr(draws, "CHUNK", 3)
    assert torch.equal(draw(KEY, 10), whole)
    assert not torch.equal(draw(random.fold_in(KEY, 1), 10), whole)


def test_it_goes_by_the_name_of_the_function():
    def my_estimator(e):
        return e

    assert "my_estimator" in name_of(draws_of(my_estimator, 1), None)
    assert "my_estimator" in name_of(seeded(lambda n: my_estimator(n)), "my_estimator")


def of_torch(n):
    return torch.randn(n)


def of_numpy(n):
    return torch.from_numpy(np.random.randn(n))  # noqa: NPY002


def of_python(n):
    return torch.tensor([python_random.gauss(0, 1) for _ in range(n)])


def of_generator(n, generator):
    return torch.randn(n, generator=generator)


def single():
    return {"a": torch.randn(2), "b": python_random.random()}


def single_of_generator(*, generator=None):
    return torch.randn((), generator=generator)


def leaves(value):
    return torch.cat([leaf.reshape(-1).double() for leaf in (value.values() if isinstance(value, dict) else [value])])


@pytest.mark.parametrize("fn", [of_torch, of_numpy, of_python, of_generator, single, single_of_generator])
def test_code_with_a_generator_is_a_function_of_the_key(fn):
    before = torch.get_rng_state(), np.random.get_state(), python_random.getstate()  # noqa: NPY002
    draw = seeded(fn)
    found = leaves(draw(KEY, 5))
    assert torch.equal(leaves(draw(KEY, 5)), found)
    assert not torch.equal(leaves(draw(random.fold_in(KEY, 0), 5)), found)
    assert len(found.unique()) == len(found)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))  # noqa: NPY002
    assert python_random.getstate() == before[2]


def test_one_draw_at_a_time_is_stacked():
    found = seeded(single)(KEY, 4)
    assert found["a"].shape == (4, 2)
    assert found["b"].shape == (4,)


def test_generators_are_put_back_after_an_error():
    def failing(n):
        torch.randn(n)
        np.random.randn(n)  # noqa: NPY002
        raise RuntimeError("inside")

    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(RuntimeError, match="inside"):
        seeded(failing)(KEY, 3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_a_given_generator_leaves_the_global_ones_alone_inside_too():
    seen = []

    def drawing(n, generator):
        seen.append(generator.initial_seed())
        return torch.randn(n, generator=generator)

    seeded(drawing)(KEY, 2)
    assert seen[0] != 0


def test_other_signatures_are_refused():
    with pytest.raises(TypeError, match=r"takes n, m: give a function of n"):
        seeded(lambda n, m: n)
    assert seeded(functools.partial(lambda m, n: torch.full((n,), m), 2.0))(KEY, 3).tolist() == [2.0] * 3
