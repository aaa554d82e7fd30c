"""Purity, to the bit and to the memory."""

import functools
import random as python_random

import numpy as np
import pytest
import torch
from torch import nn

from tests.verify.properties.functions import AWKWARD, normals
from vae_fn import verify
from vae_fn.verify.properties.generators import watched_generators
from vae_fn.verify.properties.held import held_tensors


@pytest.mark.parametrize("name", AWKWARD)
def test_right_functions_pass(name):
    fn, args = AWKWARD[name]
    verify.pure(fn, *args).check()


def test_not_a_number_is_itself():
    x = torch.tensor([float("nan"), float("inf"), -0.0])
    assert verify.pure(lambda x: x / 0, x).passed
    assert not verify.pure(lambda x: x.copy_(torch.tensor([float("nan"), float("inf"), 0.0])) * 1, x.clone()).passed


def test_the_memory_around_a_view_is_watched():
    base = torch.arange(6.0)

    def reaches_over(view):
        view._base[0] += 1
        return view * 1

    verdict = verify.pure(reaches_over, base[3:])
    assert verdict.status == "rejected"
    assert "changes the argument view" in verdict.detail


def test_a_layout_is_watched():
    assert not verify.pure(lambda x: x.t_().sum(), torch.ones(2, 3)).passed


def states():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), python_random.getstate()  # noqa: NPY002


@pytest.mark.parametrize("generator", ["torch", "numpy", "Python"])
def test_global_generators_are_watched_and_put_back(generator):
    draws = {
        "torch": lambda x: x + torch.rand(3),
        "numpy": lambda x: x + np.random.rand(),  # noqa: NPY002
        "Python": lambda x: x + python_random.random(),
    }
    before, found = states(), []
    with watched_generators() as used:
        draws[generator](torch.ones(3))
        found.append(states() != before)
    assert (used, found) == ([generator], [True])
    assert states() == before
    assert f"{generator}'s global generator" in verify.pure(draws[generator], torch.ones(3)).detail


def test_only_pythons_generator_may_advance_for_nothing():
    def checked(draw):
        return verify.pure(lambda x: (draw(), x * 1)[1], torch.ones(3)).passed

    assert checked(python_random.random)
    assert not checked(lambda: torch.rand(1))
    assert not checked(np.random.rand)


def test_what_a_function_holds_is_watched():
    """Closures of closures, partials, methods and modules; a dictionary that a method writes to."""
    buffer, layer = torch.zeros(2), nn.BatchNorm1d(2)

    def inner(x):
        return x + buffer.add_(1).sum() * 0

    class Object:
        def __init__(self):
            self.cache = {"mean": torch.zeros(2)}

        def method(self, x):
            self.cache["mean"].add_(x.mean())
            return x * 1

    x = normals(0, 3, 2)
    for fn in (inner, lambda x: inner(x), functools.partial(inner), layer, lambda x: layer(x), Object().method):
        verdict = verify.pure(fn, x)
        assert verdict.status == "rejected", fn
        assert "that it holds itself" in verdict.detail
    assert verify.pure(lambda x: x + buffer, x).passed
    assert verify.pure(layer.eval(), x).passed


def test_templates_without_memory_are_left_alone():
    template = nn.Linear(2, 2, device="meta")
    params = {"weight": normals(0, 2, 2), "bias": normals(1, 2)}
    assert "template.weight" in held_tensors(lambda x: template(x))
    assert verify.pure(
        lambda params, x: torch.func.functional_call(template, params, (x,)), params, normals(2, 2)
    ).passed


def test_containers_keep_what_they_hold():
    def replaces(state):
        state["x"] = state["x"] * 1
        return state["x"] + 1

    verdict = verify.pure(replaces, {"x": torch.ones(2)})
    assert "container" in verdict.detail


def test_another_shape_at_the_second_call():
    lengths = iter([2, 3])
    assert "a second call differs" in verify.pure(lambda x: x.new_zeros(next(lengths)), torch.ones(1)).detail


def test_many_faults_are_counted():
    verdict = verify.pure(lambda *xs: [x.add_(1) for x in xs], *(torch.zeros(1) for _ in range(5)))
    assert verdict.detail.count(";") == 3
    assert "and 12 more" in verdict.detail


COUNTS, LOG, ARRAY, CACHE = {"calls": 0}, [], np.zeros(2), {}


def counts(x):
    COUNTS["calls"] += 1
    return x * 2


def logs(x):
    LOG.append("called")
    return x * 2


def adds(x):
    ARRAY[0] += 1
    return x * 2


def caches(x):
    CACHE.setdefault("two", 2.0)
    return x * CACHE["two"]


class Called:
    def __init__(self):
        self.calls, self.layer, self.mean = 0, nn.BatchNorm1d(2), torch.zeros(2)

    def counting(self, x):
        self.calls += 1
        return x * 2

    def rebinding(self, x):
        self.name = f"{getattr(self, 'name', '')}."
        return x * 2

    def __call__(self, x):
        self.layer(x)
        return x * 2


def counter():
    calls = 0

    def fn(x):
        nonlocal calls
        calls += 1
        return x * 2

    return fn


@pytest.mark.parametrize("fn", [counts, logs, adds, Called().counting, Called().rebinding, Called(), counter()])
def test_a_state_is_seen_before_it_has_consequences(fn):
    verdict = verify.pure(fn, normals(0, 3, 2))
    assert verdict.status == "rejected"
    assert "state in" in verdict.detail or "that it holds itself" in verdict.detail


def test_a_cache_is_no_state():
    assert verify.pure(caches, torch.ones(2)).passed
