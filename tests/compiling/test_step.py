"""Compiled steps: the same numbers as eager ones, one graph each, compiled once."""

import functools
import re
from typing import NamedTuple

import pytest
import torch
from torch._dynamo.utils import counters

from tests.training.problems import algorithm, double, images, small_vae, streams
from vae_fn import data, gradients, random, tree, verify
from vae_fn.compiling import compile_epoch, compile_step
from vae_fn.gradients import estimators
from vae_fn.optimization import schedules
from vae_fn.training import Batch, adamw, step_by_shape
from vae_fn.training.step import draw_noise, shared_steps

STEPS = 5
SIZES = [6, 6, 4]


def trajectory(built, edge, epochs=2):
    """The states along a run whose last batch of each epoch is short, and how often something was compiled."""
    run, state, states = step_by_shape(built, edge), built.init(streams().init, Batch(images(SIZES[0]))), []
    graphs = []
    for _ in range(epochs):
        for i, size in enumerate(SIZES):
            state, info = run(state, Batch(images(size, i)), streams())
            states.append(tree.clone((state, info)))
        graphs.append(counters["stats"]["unique_graphs"])
    return states, graphs


CONFIGURATIONS = {
    "tutorial": {"clip_norm": 1.0},
    "dynamic, warm-up, free bits": {
        "pose": lambda vae, x, context, beta: gradients.elbo_problem(vae, x, context, beta, 0.1),
        "binarisation": data.DYNAMIC,
        "beta": schedules.linear_warmup(1.0, 10),
    },
    "dreg": {
        "pose": gradients.elbo_sampled_problem,
        "estimator": estimators.dreg(),
        "samples": 3,
        "binarisation": data.DYNAMIC,
    },
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_compiled_steps_are_eager_steps_and_are_compiled_once(name, fresh_compiler):
    built = algorithm(**CONFIGURATIONS[name])
    counters.clear()
    eager, _ = trajectory(built, lambda step: step)
    compiled, graphs = trajectory(built, compile_step)
    assert graphs == [2, 2], "one graph for the full batch, one for the short one, none afterwards"
    assert not counters["graph_break"]
    if random.GENERATOR.startswith("torch"):
        for one, other in zip(tree.leaves(eager), tree.leaves(compiled), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_eager_and_compiled_agree_with_float64(fresh_compiler):
    """Both float32 steps are held against the float64 one: neither is further off than a few roundings."""
    built = algorithm(clip_norm=1.0, samples=2)
    batch = Batch(images(6))
    state = built.init(streams().init, batch)
    noise = draw_noise(streams(), state.step, built.noise_like(batch), torch.float32)
    exact, exact_info = built.step(double(state), batch, double(noise))
    wide, _ = compile_step(built.step, donate=False)(double(state), batch, double(noise))
    for one, other in zip(tree.leaves(wide.params), tree.leaves(exact.params), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    for step in (built.step, compile_step(built.step, donate=False)):
        _, info = step(state, batch, noise)
        for got, expected in zip(info, exact_info, strict=True):
            torch.testing.assert_close(got.double(), expected, rtol=2e-6, atol=0)


def test_donated_steps_have_the_same_bits_and_the_same_buffers(fresh_compiler):
    built = algorithm(binarisation=data.DYNAMIC, clip_norm=1.0)
    kept, _ = trajectory(built, lambda step: compile_step(step, donate=False))
    donated, _ = trajectory(built, compile_step)
    for one, other in zip(tree.leaves(kept), tree.leaves(donated), strict=True):
        assert torch.equal(one, other)
    run, state = step_by_shape(built, compile_step), built.init(streams().init, Batch(images(6)))
    addresses = [leaf.data_ptr() for leaf in tree.leaves(state)]
    after, _ = run(state, Batch(images(6)), streams())
    assert [leaf.data_ptr() for leaf in tree.leaves(after)] == addresses


def test_an_undonated_step_is_pure(fresh_compiler):
    """It leaves its state alone and gives the same bits again; a donated one does neither."""
    built, batch = algorithm(), Batch(images(6))
    state = built.init(streams().init, batch)
    noise = draw_noise(streams(), state.step, built.noise_like(batch), torch.float32)
    verify.pure(compile_step(built.step, donate=False), state, batch, noise).check()
    donated = compile_step(lambda state, x: (state + x, x.sum()))
    assert verify.pure(donated, torch.zeros(2), torch.ones(2)).status == "rejected"


def test_a_donated_state_keeps_dtypes_and_shapes(fresh_compiler):
    """Copied over the old state, a wider dtype would be rounded and a smaller shape spread, without a word."""

    def widens(state):
        return state * torch.tensor(0.1, dtype=torch.float64), state

    def shrinks(state):
        return state.sum(), state

    for step, state in ((widens, torch.tensor(1.0)), (shrinks, torch.ones(3))):
        with pytest.raises(ValueError, match=r"^the step makes .* keep both, or compile with donate=False"):
            compile_step(step, backend="eager")(state)


class Pair(NamedTuple):
    """A state that looks like a pair of state and info."""

    w: torch.Tensor
    v: torch.Tensor


@pytest.mark.parametrize(
    ("step", "state", "fault", "expected"),
    [
        (lambda state: state + 1, torch.zeros(2), TypeError, "a step returns a pair (state, info), and this one some"),
        (lambda state: {"w": state["w"]}, {"w": torch.zeros(2)}, TypeError, "a step returns a pair (state, info)"),
        (lambda state: state, Pair(torch.zeros(2), torch.ones(2)), ValueError, "new state is a tensor alone, and"),
        (lambda state: ((state, state), ()), torch.zeros(2), ValueError, "the step drops all and adds 0 and adds 1: k"),
    ],
)
def test_a_step_returns_its_state_and_what_it_reports(step, state, fault, expected, fresh_compiler):
    for run in (compile_step(step, backend="eager"), lambda state: compile_epoch(step, backend="eager")(state, 3)):
        with pytest.raises(fault, match=re.escape(expected)):
            run(state)


def averaging(state):
    """A step that begins its average with the first parameters."""
    w, average = state["w"], state["average"]
    return {"w": w + 1, "average": w if average is None else 0.9 * average + 0.1 * w}, w.sum()


OTHER_PARTS = {
    "adds average": (averaging, None),
    "drops average": (lambda state: (state | {"average": None}, ()), torch.zeros(2)),
    "drops w and adds w/0": (lambda state: (state | {"w": [state["w"]]}, ()), None),
    "gives the state another structure": (lambda state: ({"w": state["w"]}, ()), None),
}


@pytest.mark.parametrize("change", OTHER_PARTS)
def test_a_donated_state_keeps_its_parts(change, fresh_compiler):
    """There is no buffer for a new part, and an old one would be told as it was."""
    step, average = OTHER_PARTS[change]
    state = {"w": torch.zeros(2), "average": average}
    expected = f"the step {change}: keep the parts of the state, or compile with donate=False"
    for run in (compile_step(step, backend="eager"), lambda state: compile_epoch(step, backend="eager")(state, 3)):
        with pytest.raises(ValueError, match=f"^{expected}"):
            run(state)


def test_a_part_may_begin_absent_where_the_state_is_not_donated(fresh_compiler):
    run, state, expected = compile_step(averaging, donate=False), {"w": torch.zeros(2), "average": None}, None
    for _ in range(3):
        expected, _ = averaging(expected or state)
        state, _ = run(state)
    torch.testing.assert_close(state, expected)


def test_a_graph_break_is_an_error(fresh_compiler):
    def breaks(state, x):
        return (state + x if x.sum() > 0 else state), x

    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        compile_step(breaks)(torch.zeros(2), torch.ones(2))


def test_many_steps_can_be_compiled_in_one_process(fresh_compiler):
    """Dynamo's limit of graphs a function is not used up by other steps."""
    for factor in range(10):
        compiled = compile_step(lambda state, x, factor=factor: (state + factor * x, x.sum()))
        state, _ = compiled(torch.zeros(2), torch.ones(2))
        assert state.tolist() == [factor, factor]


def test_a_donated_state_may_keep_leaves_of_the_old_one(fresh_compiler):
    """Lagged copies and swaps: what the old state held is read before it is overwritten."""

    def step(state, x):
        moved = {"params": state["params"] + x, "previous": state["params"], "older": state["previous"].clone()}
        return moved | {"left": state["right"], "right": state["left"]}, x.sum()

    for donate in (False, True):
        run = compile_step(step, donate=donate)
        state = dict(
            zip(("params", "previous", "older", "left", "right"), torch.arange(5.0).unsqueeze(-1), strict=True)
        )
        for _ in range(3):
            state, _ = run(tree.clone(state), torch.ones(1))
        assert {name: leaf.item() for name, leaf in state.items()} == {
            "params": 3,
            "previous": 2,
            "older": 1,
            "left": 4,
            "right": 3,
        }


UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_a_donated_state_may_hold_keys_and_other_unsigned_numbers(backend, fresh_compiler):
    """They are lagged and told as others are, the largest of them too."""
    run = compile_step(lambda state: ({"new": state["old"], "old": state["new"]}, state), backend=backend)
    for dtype in UNSIGNED:
        new, old = (torch.tensor(values, dtype=dtype) for values in ([torch.iinfo(dtype).max, 1], [0, 2]))
        found, told = run(tree.clone({"new": new, "old": old}))
        assert torch.equal(found["new"], old)
        assert torch.equal(found["old"], new)
        assert torch.equal(told["new"], new)
    key = random.key(3)
    found, _ = compile_step(lambda state: (state | {"w": state["w"] + 1}, ()), backend=backend)(
        {"key": key.clone(), "w": torch.zeros(2)}
    )
    assert torch.equal(found["key"], key)


def at_rates(make, edge):
    """Parameters after three steps, the last one short, with each of three learning rates, and the graphs compiled."""
    share, vae, ends, graphs = shared_steps(edge), small_vae(), [], []
    for rate in (1e-3, 1e-2, 1e-1):
        built = algorithm(vae, estimator=estimators.rloo(), samples=2, optimizer=adamw(make(rate)))
        run, state = share(built), built.init(streams().init, Batch(images(SIZES[0])))
        for i, size in enumerate(SIZES):
            state, _ = run(state, Batch(images(size, i)), streams())
        ends.append(state.params)
        graphs.append(counters["stats"]["unique_graphs"])
    return ends, graphs


def test_algorithms_that_differ_in_their_learning_rates_share_a_program_for_each_shape(fresh_compiler):
    """Each comes to what it comes to alone; rates that were numbers in the graph would take one for each."""
    counters.clear()

    def rate(value):
        return schedules.warmup_cosine(torch.tensor(value, dtype=torch.float64), 1, 9)

    def written(value):
        return lambda step: torch.zeros((), dtype=torch.float64) + value

    alone, _ = at_rates(rate, lambda step: step)
    shared, graphs = at_rates(rate, functools.partial(compile_step, backend="aot_eager"))
    assert graphs == [2, 2, 2]
    for one, other in zip(alone, shared, strict=True):
        for a, b in zip(tree.leaves(one), tree.leaves(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert not torch.equal(tree.leaves(shared[0])[0], tree.leaves(shared[1])[0])
    counters.clear()
    _, graphs = at_rates(written, functools.partial(compile_step, backend="eager"))
    assert graphs == [2, 4, 6]


def test_a_state_may_come_back_in_another_order():
    def step(state):
        return {"n": state["n"] + 1, "a": state["a"] * 2}, state["n"] + 0

    run = compile_step(step, backend="eager")
    state, told = run({"a": torch.ones(3), "n": torch.tensor(4)})
    assert torch.equal(state["a"], torch.full((3,), 2.0))
    assert (state["n"].item(), told.item()) == (5, 4)


def test_complex_leaves_are_written_over(fresh_compiler):
    state = {"z": torch.tensor([1 + 2j, 3 - 1j]), "before": torch.zeros(2, dtype=torch.complex64)}
    new, _ = compile_step(lambda s: ({"z": s["z"] * 1j, "before": s["z"]}, ()), backend="eager")(tree.clone(state))
    assert torch.equal(new["before"], state["z"])
    assert torch.equal(new["z"], state["z"] * 1j)
