"""Steps replayed from fixed addresses, with stand-ins for the CUDA graph: what is copied there and back, and when."""

import functools

import pytest
import torch
from torch._higher_order_ops.while_loop import while_loop_op

from tests.compiling.graphs import graph
from vae_fn import tree
from vae_fn.compiling import CaptureError, compile_epoch, compile_step
from vae_fn.compiling.replaying import ROOM, replayed

EAGER = functools.partial(compile_step, backend="eager")
"""Writes over the old state as the compiled step does."""


def counting(state, x):
    return {"done": state["done"] + 1, "total": state["total"] + x * state["done"]}, {"seen": state["total"].sum()}


def start(total=0.0):
    return {"done": torch.tensor(0), "total": torch.full((3,), total)}


def as_single_steps(state, count, x):
    seen = []
    for _ in range(count):
        state, info = counting(state, x)
        seen.append(info["seen"])
    return state, torch.stack(seen)


@pytest.mark.parametrize("count", [1, 3, ROOM, ROOM + 5, 2 * ROOM + 1])
def test_replays_are_single_steps(count, fresh_compiler):
    x = torch.arange(3.0)
    state, infos = replayed(counting, EAGER, start(), (x,), graph)(start(1.0), count, x)
    expected, seen = as_single_steps(start(1.0), count, x)
    assert all(map(torch.equal, tree.leaves(state), tree.leaves(expected)))
    assert torch.equal(infos["seen"], seen)


def test_trainings_that_share_a_program_do_not_meet(fresh_compiler):
    """A state that lay in the graph's own memory would be overwritten by the next training's."""
    run = replayed(counting, EAGER, start(), (torch.ones(3),), graph)
    states, inputs = [start(0.0), start(7.0)], [torch.ones(3), 2 * torch.ones(3)]
    for _ in range(2):
        states = [run(state, 3, x)[0] for state, x in zip(states, inputs, strict=True)]
    for state, first, x in zip(states, (0.0, 7.0), inputs, strict=True):
        expected, _ = as_single_steps(start(first), 6, x)
        assert torch.equal(state["total"], expected["total"])


def test_a_call_leaves_its_inputs_alone_and_writes_into_its_state(fresh_compiler):
    x, state = torch.ones(3), start()
    after, infos = replayed(counting, EAGER, start(), (x,), graph)(state, 4, x)
    assert x.tolist() == [1, 1, 1]
    assert all(one is other for one, other in zip(tree.leaves(after), tree.leaves(state), strict=True))
    kept = infos["seen"].clone()
    replayed(counting, EAGER, start(), (x,), graph)(state, 4, x)
    assert torch.equal(infos["seen"], kept)


def test_the_addresses_stay(fresh_compiler):
    """What a graph of a real device needs, as it reads and writes where it was captured."""
    places = []

    def watched(step):
        take = EAGER(step)

        def watching(held, *inputs):
            places.append([leaf.data_ptr() for leaf in tree.leaves((held, inputs))])
            return take(held, *inputs)

        return watching

    run = replayed(counting, watched, start(), (torch.ones(3),), graph)
    for value in (1.0, 2.0):
        run(start(value), 3, torch.full((3,), value))
    assert len(places) == 8
    assert all(place == places[0] for place in places)


def test_a_rehearsal_begins_where_the_call_does(fresh_compiler):
    """A second step from there finds no batch, as at the end of an epoch; on a device that ends the program."""

    def gathering(state, x):
        return {"done": state["done"] + 1, "total": state["total"] + x[state["done"].unsqueeze(0)]}, {}

    x = torch.arange(3.0)
    last = {"done": torch.tensor(2), "total": torch.zeros(1)}
    state, _ = replayed(gathering, EAGER, last, (x,), graph)(last, 1, x)
    assert (state["done"].item(), state["total"].item()) == (3, 2)


def test_compiled_replays_are_compiled_steps_to_the_bit(fresh_compiler):
    x = torch.tensor([0.1, 0.7, 0.3])
    state, infos = replayed(counting, compile_step, start(), (x,), graph)(start(0.5), 5, x)
    take, expected = compile_step(counting), start(0.5)
    for step in range(5):
        expected, info = take(expected, x)
        assert torch.equal(infos["seen"][step], info["seen"])
    assert torch.equal(state["total"], expected["total"])


@pytest.mark.parametrize("wanted", [True, False])
def test_an_epoch_on_such_a_device_replays_its_step_where_that_is_wanted(wanted, replays, fresh_compiler):
    run, x = compile_epoch(counting, backend="eager", cuda_graph=wanted), torch.arange(3.0)
    state, infos = run(start(1.0), 4, x)
    expected, seen = as_single_steps(start(1.0), 4, x)
    assert torch.equal(state["total"], expected["total"])
    assert torch.equal(infos["seen"], seen)
    assert replays == [torch.device("cpu")] * wanted


def test_tensors_on_several_devices_are_refused():
    """The graph would keep the value that one on the CPU had when it was captured."""
    inputs = (torch.ones(3, device="meta"),)
    with pytest.raises(CaptureError, match="on cpu and meta: move all to one device"):
        replayed(lambda state, x: (state, {}), EAGER, start(), inputs, graph)


def test_a_closed_over_tensor_on_another_device_is_refused():
    """One without a dimension is taken in silence, as a number: the graph would never see another value."""
    state, rate = {"total": torch.ones(3, device="meta")}, torch.tensor(0.1)

    def scaling(state):
        return {"total": state["total"] * rate * torch.tensor(2.0)}, {}

    with pytest.raises(CaptureError, match="reads a tensor on cpu: move it to meta, or leave cuda_graph out"):
        replayed(scaling, EAGER, state, (), graph)


def test_a_step_that_returns_a_tensor_on_another_device_is_refused():
    """It is made in the step, which reads none that was there before."""
    state, expected = {"total": torch.ones(3, device="meta")}, "returns a tensor on cpu: move it to meta, or leave"
    with pytest.raises(CaptureError, match=expected):
        replayed(lambda state: (state, {"seen": torch.zeros(2)}), EAGER, state, (), graph)
    with pytest.raises(CaptureError, match=expected):
        replayed(lambda state: ({"total": torch.zeros(3)}, {}), EAGER, state, (), graph)


def test_a_loop_in_a_step_is_refused():
    """It may read a tensor on another device, which nobody sees."""
    state, rate = {"total": torch.ones(3, device="meta")}, torch.tensor(0.1)

    def looping(state):
        def goes_on(i, total):
            return i < 3

        def advance(i, total):
            return i + 1, total * rate

        _, total = while_loop_op(goes_on, advance, (torch.tensor(0), state["total"]), ())
        return {"total": total}, {}

    with pytest.raises(CaptureError, match="reads in the operator while_loop cannot be told: do without that"):
        replayed(looping, EAGER, state, (), graph)
