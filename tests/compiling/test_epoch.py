"""Many steps in one call: the bits of single steps, one graph for any number of them."""

import functools

import pytest
import torch
from torch._dynamo.utils import counters

from tests.training.problems import algorithm, images, streams
from vae_fn import data, random, tree
from vae_fn.compiling import compile_epoch, compile_step
from vae_fn.gradients import elbo_sampled_problem, estimators
from vae_fn.training import Batch, step_by_shape
from vae_fn.training.batches import Batches
from vae_fn.training.stretches import Member, compiled_stretches, one_by_one


def counting(state, x):
    """A step whose state tells which one it is."""
    done, total = state
    return (done + 1, total + x * done), {"seen": total, "done": done}


def start():
    return torch.zeros((), dtype=torch.int64), torch.ones(3)


@pytest.mark.parametrize("donate", [True, False])
def test_a_call_takes_the_steps_that_it_is_asked_for(donate, fresh_compiler):
    run, x = compile_epoch(counting, donate=donate), torch.arange(3.0)
    counters.clear()
    for count in (1, 4, 5):
        state, infos = run(start(), count, x)
        expected, reports = start(), []
        for _ in range(count):
            expected, info = counting(expected, x)
            reports.append(info)
        assert all(map(torch.equal, state, expected))
        assert torch.equal(infos["done"], torch.arange(count))
        assert torch.equal(infos["seen"], torch.stack([info["seen"] for info in reports]))
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def test_other_shapes_get_their_own_room(fresh_compiler):
    run = compile_epoch(lambda state, x: (state + 1, 2 * x), backend="eager")
    for size in (3, 1):
        _, infos = run(torch.tensor(0), 2, torch.ones(size))
        assert infos.shape == (2, size)


def test_absent_parts_stay_absent(fresh_compiler):
    def step(state):
        return {"w": state["w"] + 1, "ema": None}, state["w"]

    for run in (compile_step(step), lambda state: compile_epoch(step)(state, 1)):
        state, _ = run({"w": torch.zeros(2), "ema": None})
        assert state["w"].tolist() == [1, 1]
        assert state["ema"] is None


def alone(built, batches):
    """The stretches of a training by itself, from state to state."""
    advance = compiled_stretches(lambda values: built, [Member((), batches, streams())])

    def take(state, step, count):
        states, infos = advance({0: state}, step, count)
        return states[0], infos[0]

    return take


def test_stretches_begin_where_the_state_stands_and_end_with_its_epoch():
    built, batches = algorithm(), Batches(images(16), streams().order, 6)
    advance, state = alone(built, batches), built.init(streams().init, batches(0))
    for step, count in ((1, 1), (0, 4)):
        with pytest.raises(ValueError, match="begin where the state stands"):
            advance(state, step, count)


def test_shared_memory_is_refused_by_name():
    both = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"^state/1 and inputs/0 share memory: pass copies, as tree\.clone"):
        compile_epoch(counting)((torch.tensor(0), both[0]), 1, both[1])
    with pytest.raises(ValueError, match=r"^inputs/1/init and inputs/1/order share memory"):
        compile_epoch(counting)(start(), 1, torch.ones(3), streams())


def reading(tensor):
    """A step that reads a tensor which it closes over where it has already written, if that is its state."""
    return lambda state, x: (tensor.flip(0) + state + x, state.sum())


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("position", ["state", "inputs/0"])
def test_an_argument_that_the_step_closes_over_is_refused_and_left_as_it_is(position, first, fresh_compiler):
    """Its program reads another tensor of the same memory, or takes the first such argument for the tensor itself."""
    both = torch.arange(6.0).reshape(2, 3)
    for tensor, given in ((both[0], both[0]), (both[0], both[1])):
        kept, run = both.clone(), compile_epoch(reading(tensor), backend="aot_eager")
        if not first:
            run(torch.zeros(3), 1, torch.zeros(3))
        state, x = (given, torch.zeros(3)) if position == "state" else (torch.zeros(3), given)
        with pytest.raises(ValueError, match=f"^{position} shares memory with a tensor that the step closes over: "):
            run(state, 1, x)
        assert torch.equal(both, kept)
        assert run(torch.zeros(3), 1, torch.ones(3))[0].tolist() == (tensor.flip(0) + 1).tolist()


def test_a_state_that_the_step_closes_over_is_copied_where_it_is_not_donated(fresh_compiler):
    tensor = torch.arange(4096.0)
    run = compile_epoch(reading(tensor), donate=False)
    for state in (torch.zeros(4096), tensor):
        found, _ = run(state, 2, torch.ones(4096))
        assert torch.equal(found, state + 2 * tensor.flip(0) + 2)


def test_only_a_donated_state_is_consumed(fresh_compiler):
    for donate in (True, False):
        state = start()
        compile_epoch(counting, donate=donate)(state, 2, torch.ones(3))
        assert (state[0].item() == 0) != donate


def test_leaves_may_change_places(fresh_compiler):
    """What a step moves is read before it is overwritten, in every pass of the loop."""

    def step(state):
        moved = {"params": state["params"] + 1, "previous": state["params"]}
        return moved | {"left": state["right"], "right": state["left"]}, state["params"].sum()

    for donate in (False, True):
        names = ("params", "previous", "left", "right")
        state = {name: torch.tensor([float(i)]) for i, name in enumerate(names)}
        state, _ = compile_epoch(step, donate=donate)(state, 3)
        assert {name: leaf.item() for name, leaf in state.items()} == {
            "params": 3,
            "previous": 2,
            "left": 3,
            "right": 2,
        }


CONFIGURATIONS = {
    "tutorial": {"clip_norm": 1.0},
    "dynamic dreg": {
        "pose": elbo_sampled_problem,
        "estimator": estimators.dreg(),
        "samples": 3,
        "binarisation": data.DYNAMIC,
    },
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_stretches_are_single_compiled_steps_to_the_bit(name, fresh_compiler):
    """However an epoch of two full batches and a short one is cut, also across epochs; nothing is compiled again."""
    built, batches = algorithm(**CONFIGURATIONS[name]), Batches(images(16), streams().order, 6)
    compiled, counted, ends = alone(built, batches), [], []
    by_one = one_by_one([step_by_shape(built, compile_step)], [Member((), batches, streams())])

    def singly(state, step, count):
        states, infos = by_one({0: state}, step, count)
        return states[0], infos[0]

    for advance, cuts in ((singly, [1] * 6), (compiled, [3, 2, 1]), (compiled, [1, 2, 1, 1, 1])):
        state, step, rows = built.init(streams().init, batches(0)), 0, []
        for count in cuts:
            state, infos = advance(state, step, count)
            step += count
            rows.append(infos)
        ends.append((tree.clone(state), torch.cat(rows)))
        counted.append(counters["stats"]["unique_graphs"])
    for end in ends[1:]:
        for one, other in zip(tree.leaves(ends[0]), tree.leaves(end), strict=True):
            assert torch.equal(one, other)
    assert counted[1] == counted[2], "the second run compiles nothing"


def test_a_stretch_follows_the_order_of_its_epoch(fresh_compiler):
    """A stretch that read the first epoch's order throughout would give other numbers."""
    built, batches = algorithm(), Batches(images(12), streams().order, 6)

    class Stuck(Batches):
        def order(self, epoch):
            return super().order(0)

    def end(batches):
        advance = alone(built, batches)
        state = built.init(streams().init, Batch(images(6)))
        for step in (0, 2):
            state, _ = advance(state, step, 2)
        return tree.leaves(state.params)

    right, stuck = end(batches), end(Stuck(images(12), streams().order, 6))
    assert not all(map(torch.equal, right, stuck))


def test_eager_backends_take_the_same_steps(fresh_compiler):
    """Without code generation, against plain Python."""
    run = compile_epoch(counting, backend="eager")
    state, _ = run(start(), 3, torch.arange(3.0))
    assert torch.equal(state[1], 1 + 3 * torch.arange(3.0))


def test_noise_inside_the_loop_is_that_of_the_step(fresh_compiler):
    def step(state, key):
        return state + 1, random.normal(random.fold_in(key, state), (5,))

    key = random.key(3)
    _, drawn = compile_epoch(step)(torch.tensor(7), 3, key)
    for i in range(3):
        _, alone = compile_step(step, donate=False)(torch.tensor(7 + i), key)
        assert torch.equal(drawn[i], alone)


def test_a_step_that_breaks_the_graph_is_an_error(fresh_compiler):
    def breaks(state, x):
        return (state + x if x.sum() > 0 else state), x

    run = functools.partial(compile_epoch(breaks), torch.zeros(2), 1)
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        run(torch.ones(2))
