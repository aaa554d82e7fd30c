"""What a repeated step is compiled for is looked at once a call: another form of its arguments gets its own program."""

from enum import Enum

import pytest
import torch
from torch._dynamo.utils import counters

from vae_fn import tree
from vae_fn.compiling import compile_epoch, compile_step


def adding(state, x, *rest):
    """A step that reads its inputs in every way that a form tells of."""
    factor = rest[0] if rest else 1
    return state + (factor * x).sum(), {"x": x.flatten() * factor}


def forms():
    square = torch.arange(4.0).reshape(2, 2)
    yield "a shape", (torch.arange(3.0),)
    yield "other strides", (square.t(),)
    yield "as they lie", (square,)
    yield "a dtype", (torch.arange(4).reshape(2, 2),)
    yield "a number", (square, 2)
    yield "another number", (square, 3)
    yield "of another type", (square, 3.5)
    yield "a tensor in place of it", (square, torch.tensor(3.0))


def test_every_form_gets_its_own_numbers(fresh_compiler):
    """A program that is not asked anew would give those of an earlier form."""
    run = compile_epoch(adding)
    counters.clear()
    for name, inputs in (*forms(), *forms()):
        inputs = tree.map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, inputs)
        state, infos = run(torch.zeros(()), 2, *inputs)
        expected, info = adding(adding(torch.zeros(()), *inputs)[0], *inputs)
        assert torch.equal(state, expected), name
        assert torch.equal(infos["x"], torch.stack([info["x"]] * 2)), name
    assert counters["stats"]["unique_graphs"] == len(list(forms()))


@torch._dynamo.config.patch(recompile_limit=3)
def test_forms_without_end_are_refused_before_the_state_is_touched(fresh_compiler):
    run, state = compile_epoch(lambda state, rate: (state + rate, {}), backend="eager"), torch.zeros(())
    for rate in (1.0, 2.0, 3.0, 1.0):
        state, _ = run(state, 1, rate)
    with pytest.raises(ValueError, match=r"compiled for 3 forms .*: pass numbers that vary as tensors"):
        run(state, 1, 4.0)
    assert run(state, 1, 3.0)[0].item() == 10


def test_another_structure_is_another_form(fresh_compiler):
    run = compile_epoch(lambda state, extra: (state + (0 if extra is None else extra["by"]), state))
    assert run(torch.tensor(1), 2, None)[0].item() == 1
    assert run(torch.tensor(1), 2, {"by": torch.tensor(5)})[0].item() == 11


def test_tensors_that_a_step_closes_over_are_read_at_every_step(fresh_compiler):
    rate = torch.tensor([1.0])
    run = compile_epoch(lambda state: (state + rate, state))
    state, _ = run(torch.zeros(1), 2)
    rate.fill_(10.0)
    state, _ = run(state, 3)
    assert state.item() == 32


@pytest.mark.parametrize("donate", [True, False])
def test_what_is_told_of_the_state_stays_as_it_was_told(donate, fresh_compiler):
    """A report that lay in the state's own buffers would change with the next step."""

    def step(state):
        new = {"count": state["count"] + 1, "kept": state["kept"]}
        return new, {"before": state["count"], "after": new["count"], "kept": state["kept"]}

    def start():
        return {"count": torch.zeros(3), "kept": torch.ones(2)}

    _, infos = compile_epoch(step, donate=donate)(start(), 3)
    assert infos["before"][:, 0].tolist() == [0, 1, 2]
    assert infos["after"][:, 0].tolist() == [1, 2, 3]
    take, state, told = compile_step(step, donate=donate), start(), []
    for _ in range(3):
        state, info = take(state)
        told.append(info)
    assert [info["before"][0].item() for info in told] == [0, 1, 2]
    assert [info["after"][0].item() for info in told] == [1, 2, 3]


@pytest.mark.parametrize("count", [0, -1, 2.5])
def test_fewer_steps_than_one_and_parts_of_one_are_refused(count, unchecked):
    with pytest.raises(ValueError, match="is out of range: give a whole number, 1 or more"):
        compile_epoch(adding)(torch.zeros(()), count, torch.ones(2))


def test_what_may_change_unseen_is_no_argument():
    class Settings:
        rate = 1.0

    for mutable in (Settings(), bytearray(b"1")):
        with pytest.raises(ValueError, match="which may change unseen: pass tensors"):
            compile_epoch(lambda state, given: (state, {}))(torch.zeros(()), 1, mutable)


def test_a_number_that_is_none_has_one_form(fresh_compiler):
    run = compile_epoch(lambda state, x: (state + x, {}), backend="eager")
    counters.clear()
    for _ in range(3):
        assert run(torch.zeros(()), 1, float("nan"))[0].isnan()
    assert counters["stats"]["unique_graphs"] == 1


class Kind(Enum):
    """Members that look alike."""

    ONE = 1
    FIVE = 5

    def __repr__(self):
        return "Kind"


class Rate(float, Enum):
    """Numbers that look alike."""

    ONE = 1.0
    FIVE = 5.0

    def __repr__(self):
        return "Rate"


class Code(str):
    """A text that does not show what it says."""

    __slots__ = ()

    def __repr__(self):
        return "Code"


@pytest.mark.parametrize("values", [Kind, Rate], ids=["enum", "enum of numbers"])
def test_members_of_one_look_are_other_forms(values, fresh_compiler):
    run = compile_epoch(lambda state, kind: (state + kind.value, {}), backend="eager")
    for member in (*values, *values):
        assert run(torch.zeros(()), 1, member)[0].item() == member.value


def test_texts_of_one_look_are_other_forms(fresh_compiler):
    run = compile_epoch(lambda state, text: (state + (5 if text == "five" else 1), {}), backend="eager")
    assert run(torch.zeros(()), 1, Code("one"))[0].item() == 1
    assert run(torch.zeros(()), 1, Code("five"))[0].item() == 5


def test_zeros_of_either_sign_are_other_forms(fresh_compiler):
    run = compile_epoch(lambda state, x: (state / x, {}), backend="eager")
    counters.clear()
    for zero in (0.0, -0.0, complex(0.0, 1.0), complex(-0.0, 1.0)):
        run(torch.ones((), dtype=torch.complex64), 1, zero)
    assert counters["stats"]["unique_graphs"] == 4
