"""Steps replayed from fixed addresses, with stand-ins for the CUDA graph: what is copied there and back, and when."""

import functools

import pytest
import torch

from vae_fn import tree
from vae_fn.compiling import compile_epoch, compile_step, epoch, replaying
from vae_fn.compiling.replaying import ROOM, CaptureError, replayed

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


def graph(work):
    """A CUDA graph in what matters here: captured once, after runs that leave their marks on what the work is on."""
    work()
    work()
    return work


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


def test_compiled_replays_are_compiled_steps_to_the_bit(fresh_compiler):
    x = torch.tensor([0.1, 0.7, 0.3])
    state, infos = replayed(counting, compile_step, start(), (x,), graph)(start(0.5), 5, x)
    take, expected = compile_step(counting), start(0.5)
    for step in range(5):
        expected, info = take(expected, x)
        assert torch.equal(infos["seen"][step], info["seen"])
    assert torch.equal(state["total"], expected["total"])


@pytest.mark.parametrize("captures", [True, False])
def test_an_epoch_on_such_a_device_replays_its_step_or_says_why_not(captures, monkeypatch, fresh_compiler, recwarn):
    def no_graph(work):
        raise CaptureError("it waits for the device")

    monkeypatch.setattr(epoch, "_device", lambda state: "cuda")
    monkeypatch.setattr(replaying, "cuda_graph", graph if captures else no_graph)
    run, x = compile_epoch(counting, backend="eager"), torch.arange(3.0)
    state, infos = run(start(1.0), 4, x)
    expected, seen = as_single_steps(start(1.0), 4, x)
    assert torch.equal(state["total"], expected["total"])
    assert torch.equal(infos["seen"], seen)
    said = [str(warning.message) for warning in recwarn if "waits for the device" in str(warning.message)]
    assert len(said) == (0 if captures else 1)
    run(state, 1, x)
    assert len(recwarn) == len(said), "it is said once"


def test_a_graph_can_be_left_out(monkeypatch, fresh_compiler):
    """Nothing is captured then: the real one would fail here."""
    monkeypatch.setattr(epoch, "_device", lambda state: "cuda")
    run = compile_epoch(counting, backend="eager", cuda_graph=False)
    assert run(start(), 2, torch.ones(3))[0]["done"].item() == 2
