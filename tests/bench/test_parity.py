"""Parity tells rounding from another program."""

import math

import pytest
import torch

from tests.bench.toys import RATE, descend, start, subject
from vae_fn import random, tree
from vae_fn.bench import own
from vae_fn.bench.parity import STEPS, exact_parameters, parameters, relative_error
from vae_fn.bench.subject import clone
from vae_fn.optimization.optimizers import adamw


def parity(step):
    """Of another step, on the subject's state and inputs."""
    right = subject()
    state = clone(right.state)
    for _ in range(STEPS):
        state, _ = step(state, *right.inputs)
    return relative_error(parameters(state), exact_parameters(right))


def test_the_step_itself_differs_by_rounding():
    assert 0 < parity(descend()) < 1e-6


@pytest.mark.parametrize("factor", [1.001, 0.99, 0.0])
def test_a_step_at_a_slightly_wrong_rate_is_caught(factor):
    assert parity(descend(factor * RATE)) > 1e-5


@pytest.mark.parametrize("wrong", [{"b2": 0.998}, {"eps": 1e-5}, {"weight_decay": 0.02}, {"learning_rate": 1.01e-3}])
def test_a_step_with_a_slightly_wrong_optimizer_is_caught(wrong):
    """AdamW on noise that follows from the state's key: rounding is far below each of the mistakes."""

    def stepped(optimizer):
        def step(state, key):
            gradient = tree.map(lambda leaf: 1e-2 * random.normal(key, leaf.shape).to(leaf.dtype), state["params"])
            gradient = tree.add(gradient, tree.scale(state["params"], 0.1))
            params, moments = optimizer.update(gradient, state["optimizer"], state["params"])
            return {"params": params, "optimizer": moments}, params["w"].sum()

        return step

    settings = {"learning_rate": 1e-3, "weight_decay": 0.01}
    right, other = adamw(**settings), adamw(**settings | wrong)
    params = {"w": random.normal(random.key(0), (6, 6))}
    of = own(stepped(right), {"params": params, "optimizer": right.init(params)}, random.key(1))
    errors = []
    for optimizer in (right, other):
        state = of.state
        for _ in range(STEPS):
            state, _ = stepped(optimizer)(state, *of.inputs)
        errors.append(relative_error(state, exact_parameters(of)))
    assert errors[0] < 1e-5
    assert errors[1] > 10 * errors[0]


def test_the_measure():
    exact = {"a": torch.tensor([3.0, 4.0]).double(), "b": torch.zeros(2).double(), "n": torch.tensor(3)}
    found = {"a": torch.tensor([3.0, 4.5]), "b": torch.tensor([0.0, 0.01]), "n": torch.tensor(7)}
    assert relative_error(found, exact) == pytest.approx(0.1)
    assert relative_error({"a": exact["a"], "b": found["b"], "n": found["n"]}, exact) == pytest.approx(0.01)
    assert relative_error(dict(reversed(found.items())), exact) == pytest.approx(0.1)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_what_is_not_a_number_is_told_in_every_leaf(names):
    found = {"a": torch.ones(2), "b": torch.full((2,), torch.nan)}
    exact = {name: torch.ones(2).double() for name in names}
    assert math.isnan(relative_error({name: found[name] for name in names}, exact))


def test_a_tree_without_floating_leaves_has_no_error():
    assert relative_error({"n": torch.tensor(7)}, {"n": torch.tensor(7)}) == 0


def test_parameters_are_the_params_of_a_state_or_all_of_it():
    state, _ = start()
    assert parameters(state) is state
