import pytest
import torch

from tests.bench.toys import subject
from vae_fn.bench import own
from vae_fn.bench.purity import check_step
from vae_fn.errors import UserError

ONES = torch.ones(2)

STEPS = {
    r"must return \(state, info\)": lambda state, x: state + x,
    "a state like the one it is given": lambda state, x: (torch.cat([state, x]), x),
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


def test_a_state_may_come_back_in_another_order():
    state = {"a": torch.ones(2), "b": torch.ones(3), "none": None}
    check_step(own(lambda state: (dict(reversed(state.items())), state["a"]), state), "it")


OTHERS = {
    "a leaf more": lambda state: state | {"b": ONES},
    "a leaf less": lambda state: {"w": state["w"]},
    "another name": lambda state: {"v": state["w"], "none": None},
    "a leaf that was absent": lambda state: state | {"none": ONES},
    "a tree for a leaf": lambda state: state | {"w": [state["w"]]},
    "another dtype": lambda state: state | {"w": state["w"].double()},
    "a number": lambda state: state | {"w": 1.0},
    "a tuple": lambda state: tuple(state.values()),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_a_state_of_another_form_is_refused(other):
    with pytest.raises(UserError, match="a state like the one it is given"):
        check_step(own(lambda state: (other(state), ONES), {"w": ONES, "none": None}), "it")


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
