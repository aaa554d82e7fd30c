import itertools
import random as pyrandom
import re

import numpy as np
import pytest
import torch

from tests.bench.toys import subject
from vae_fn.bench import own
from vae_fn.bench.purity import check_step
from vae_fn.errors import UserError

ONES = torch.ones(2)

STEPS = {
    r"must return \(state, info\)": lambda state, x: state + x,
    r"like the one it is given: it is a Tensor of torch.float32 and shape \(4,\), and was": lambda state, x: (
        torch.cat([state, x]),
        x,
    ),
    "writes to its arguments": lambda state, x: (state.add_(x).clone(), x),
    "draws from torch's global generator": lambda state, x: (state + torch.randn(2), x),
}


def test_a_pure_step_passes():
    check_step(subject(), "it")


@pytest.mark.parametrize("message", STEPS)
def test_what_is_no_pure_step_is_refused(message):
    with torch.random.fork_rng(), pytest.raises(UserError, match=message):
        check_step(own(STEPS[message], torch.ones(2), torch.ones(2)), "it")


def test_what_is_not_a_number_counts_as_itself():
    strange = torch.tensor([torch.nan, 0.0])
    check_step(own(lambda state, x: (state + 1, x.sum()), strange, strange), "it")
    with pytest.raises(UserError, match="writes to its arguments"):
        check_step(own(lambda state, x: (x.neg_() + state, x), ONES, strange), "it")


COUNT = itertools.count()

AGAIN = {
    "Python's generator": (lambda state: (state + pyrandom.random(), ()), "state"),
    "numpy's generator": (lambda state: (state, {"loss": state.sum() + np.random.rand()}), r"info\['loss'\]"),  # noqa: NPY002
    "a counter": (lambda state: (state + next(COUNT), ()), "state"),
    "a number in the report": (lambda state: (state, {"a": 1.0, "n": next(COUNT)}), r"info\['n'\]"),
    "a growing report": (lambda state: (state, [state] * next(COUNT)), "form of its results"),
}


@pytest.mark.parametrize(("step", "what"), AGAIN.values(), ids=AGAIN.keys())
def test_other_results_the_second_time_are_refused(step, what):
    with pytest.raises(UserError, match=f"a second call with the same arguments gives another {what}: take"):
        check_step(own(step, ONES), "it")


def test_a_state_may_come_back_in_another_order():
    state = {"a": torch.ones(2), "b": torch.ones(3), "none": None}
    check_step(own(lambda state: (dict(reversed(state.items())), state["a"]), state), "it")


OTHERS = [
    ("it has b besides", lambda state: state | {"b": ONES}),
    ("it has none besides", lambda state: state | {"none": ONES}),
    ("it lacks w", lambda state: {"v": state["w"], "none": None}),
    ("it lacks w", lambda state: state | {"w": [state["w"]]}),
    ("it lacks w", lambda state: tuple(state.values())),
    ("its tree is another one", lambda state: {"w": state["w"]}),
    ("its w is a Tensor of torch.float64 and shape (2,), and was a", lambda state: state | {"w": state["w"].double()}),
    ("its w is 1.0, and was a Tensor", lambda state: state | {"w": 1.0}),
]


@pytest.mark.parametrize(("said", "other"), OTHERS)
def test_a_state_of_another_form_is_refused(said, other):
    with pytest.raises(UserError, match=re.escape(f"a state like the one it is given: {said}")):
        check_step(own(lambda state: (other(state), ONES), {"w": ONES, "none": None}), "it")


@pytest.mark.parametrize(
    "info",
    [{"a/b": ONES, "a": {"b": ONES}}, ONES.to_sparse(), torch.ones(2, dtype=torch.complex64).conj(), "text", [3, None]],
    ids=["one name", "sparse", "conjugate", "text", "numbers"],
)
def test_a_step_may_report_anything(info):
    check_step(own(lambda state: (state + 1, info), ONES), "it")


def test_leaves_put_into_the_state_that_is_given_are_writing():
    def step(state):
        new = dict(state)
        state["more"] = ONES
        return new, ONES

    with pytest.raises(UserError, match="writes to its arguments"):
        check_step(own(step, {"w": ONES}), "it")


@pytest.mark.parametrize(("state", "where"), [({"w": ONES, "n": 3}, "3 at n"), (3, "3")])
def test_a_leaf_of_the_state_that_is_no_tensor_is_refused(state, where):
    with pytest.raises(UserError, match=f"it is given a state that holds {where}: make it a tensor"):
        check_step(own(lambda state: (state, ONES), state), "it")


def test_a_draw_from_the_generator_of_an_accelerator_is_refused(monkeypatch):
    drawn = torch.zeros(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [torch.zeros(16, dtype=torch.uint8), drawn.clone()])
    check_step(own(lambda state: (state + 1, ONES), ONES), "it")

    def step(state):
        drawn[0] += 1
        return state + 1, ONES

    with pytest.raises(UserError, match="draws from torch's global generator"):
        check_step(own(step, ONES), "it")
