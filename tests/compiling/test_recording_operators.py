"""Recordings of steps that call operators which do something of their own."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from tests.compiling.recordings import check_as_single_steps, check_equal, given, layered, one_recording, refused
from vae_fn.compiling import compile_epoch
from vae_fn.compiling.recording import Recording


@torch.library.custom_op("vae_fn_tests::by_columns", mutates_args=())
def by_columns(x: torch.Tensor) -> torch.Tensor:
    return x.t().contiguous().t() + 0.5


@by_columns.register_fake
def _(x):
    return x.new_empty(x.shape[::-1]).t()


def test_new_memory_in_another_order_is_not_copied_as_it_lies(recorded, fresh_compiler):
    check_as_single_steps(
        lambda state, x: (by_columns(state * x) + x, 2 * state[0]), *torch.linspace(0, 1, 24).view(2, 3, 4)
    )
    assert refused(recorded)


@torch.library.custom_op("vae_fn_tests::hurdle", mutates_args=())
def hurdle(x: torch.Tensor) -> torch.Tensor:
    falls.append(len(falls))
    if falls[-1] in (2, 5):
        raise RuntimeError("fell")
    return x.clone()


@hurdle.register_fake
def _(x):
    return torch.empty_like(x)


falls = []


def test_a_step_that_fails_leaves_the_next_call_whole(recorded, fresh_compiler):
    """While it is noted, and when it is made again."""
    falls.clear()
    run = compile_epoch(lambda state, x: (state * 0.5 + hurdle(x), state.sum()))
    run(torch.ones(3), 1, torch.ones(3))
    for _ in range(2):
        state = torch.ones(3)
        with pytest.raises(RuntimeError, match="fell"):
            run(state, 4, torch.ones(3))
        held = weakref.ref(state)
        del state
        gc.collect()
        assert held() is None
    assert run(torch.zeros(3), 3, torch.ones(3))[0].tolist() == [1.75] * 3
    assert one_recording(recorded)


CALLED = {}


@torch.library.custom_op("vae_fn_tests::calling", mutates_args=())
def calling(x: torch.Tensor) -> torch.Tensor:
    """An operator that does something else besides."""
    CALLED["times"] += 1
    CALLED["other"](CALLED["times"])
    return x * 0.5


@calling.register_fake
def _(x):
    return torch.empty_like(x)


def calls(other):
    CALLED.update(times=0, other=other)


def called_step(state, x):
    return calling(state) + x, state.sum()


def test_a_step_that_runs_other_programs_records_them_later(recorded, fresh_compiler):
    inner, outer = compile_epoch(layered, donate=False), compile_epoch(called_step)
    expected = inner(given()[0], 3, given()[1])
    torch.compiler.reset()
    recorded.clear()
    inner = compile_epoch(layered, donate=False)

    def other(times):
        if times >= 2:  # when the outer step is noted, and later
            check_equal(inner(given()[0], 3, given()[1]), expected)

    calls(other)
    state, _ = outer(torch.zeros(2), 4, torch.ones(2))
    assert state.tolist() == [1.875] * 2
    assert len(recorded) == 2
    assert None not in recorded


def twice_called_step(state, x):
    """A step with something to remember while the operator is called."""
    half = calling(state) + x
    return calling(half) + half, half.sum()


@pytest.mark.parametrize(("at", "attempts"), [(4, [None]), (7, [Recording, Recording])], ids=["noted", "made again"])
@torch.no_grad()  # as it is inside a graph: the same program serves both
def test_a_step_that_runs_its_own_program_has_its_own_numbers(at, attempts, recorded, fresh_compiler):
    run = compile_epoch(twice_called_step)
    calls(lambda times: None)
    run(torch.zeros(2), 1, torch.ones(2))

    def other(times):
        if times == at:
            run(torch.full((2,), 1e6), 3, torch.ones(2))

    expected, rows = torch.zeros(2), []
    for _ in range(6):
        expected, half = 0.75 * expected + 1.5, 0.5 * expected + 1
        rows.append(half.sum())
    calls(other)
    state, infos = run(torch.zeros(2), 6, torch.ones(2))
    assert infos.tolist() == torch.stack(rows).tolist()
    assert state.tolist() == expected.tolist()
    assert [made and type(made) for made in recorded] == attempts


def test_threads_that_wait_for_each_other_do_not_wait_for_a_recording(fresh_compiler):
    run, together = compile_epoch(called_step), Barrier(2)
    calls(lambda times: None)
    run(torch.zeros(2), 1, torch.ones(2))
    calls(lambda times: together.wait(timeout=60))
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(run, torch.zeros(2), 4, torch.ones(2)) for _ in range(2)]
        assert [future.result()[0].tolist() for future in futures] == [[1.875] * 2] * 2


TABLE = torch.arange(12.0).view(4, 3)


@torch.library.custom_op("vae_fn_tests::row", mutates_args=())
def row(n: torch.Tensor) -> torch.Tensor:
    return TABLE[int(n) % 4]


@row.register_fake
def _(n):
    return torch.empty(3)


def test_the_memory_that_an_operator_keeps_is_not_written_to(recorded, fresh_compiler):
    table = TABLE.clone()
    check_as_single_steps(lambda state, x: (state + 1, row(state) * x), torch.tensor(0), torch.ones(3), count=9)
    assert torch.equal(table, TABLE)
    assert one_recording(recorded)


@torch.library.custom_op("vae_fn_tests::growing", mutates_args=())
def growing(x: torch.Tensor) -> torch.Tensor:
    falls.append(len(falls))
    return x.new_ones(2 if falls[-1] < 3 else 3)


@growing.register_fake
def _(x):
    return x.new_empty(2)


def test_an_operator_that_changes_its_form_is_told(recorded, fresh_compiler):
    falls.clear()
    with pytest.raises(
        RuntimeError, match=r"returned torch.float32 of shape \(3,\) .* and torch.float32 of shape \(2,\)"
    ):
        compile_epoch(lambda state, x: (state + growing(x), state.sum()))(torch.ones(2), 6, torch.ones(2))


@torch.library.custom_op("vae_fn_tests::multiplied", mutates_args=())
def multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


@multiplied.register_fake
def _(a, b):
    return a.new_empty(a.shape[0], b.shape[1])


def test_autocast_around_a_call_changes_no_step_of_it(recorded, fresh_compiler):
    with torch.autocast("cpu", torch.bfloat16):
        check_as_single_steps(lambda s, x: (s + multiplied(x, x), s.sum()), *torch.linspace(0, 1, 18).view(2, 3, 3))
    assert one_recording(recorded)


HIDDEN = []


@torch.library.custom_op("vae_fn_tests::hidden", mutates_args=())
def hidden(x: torch.Tensor) -> torch.Tensor:
    return HIDDEN[0]


@hidden.register_fake
def _(x):
    return torch.empty_like(x)


def test_memory_of_an_input_that_an_operator_was_not_given_is_not_taken_for_its_own(recorded, fresh_compiler):
    run = compile_epoch(lambda state, x, y: (state + hidden(x) + y, state.sum()))
    for value in (1.0, 2.0):
        x, y = torch.ones(2), torch.full((2,), value)
        HIDDEN[:] = [y]
        assert run(torch.zeros(2), 4, x, y)[0].tolist() == [8 * value] * 2
        assert y.tolist() == [value] * 2
    assert refused(recorded)


@torch.library.custom_op("vae_fn_tests::rising", mutates_args=())
def rising(x: torch.Tensor) -> int:
    falls.append(len(falls))
    return falls[-1]


@rising.register_fake
def _(x):
    return torch.library.get_ctx().new_dynamic_size()


def test_a_number_that_an_operator_returns_is_asked_for_at_every_step(recorded, fresh_compiler):
    falls.clear()
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        state, _ = compile_epoch(lambda state, x: (state + rising(x), state.sum()))(torch.zeros(2), 5, torch.ones(2))
    assert state.tolist() == [10, 10]
    assert refused(recorded)


def test_a_size_that_depends_on_numbers_is_asked_for_at_every_step(recorded, fresh_compiler):
    run = compile_epoch(lambda state, x: (state + 1, x[x > state].sum()))
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        _, infos = run(torch.tensor(0), 5, torch.arange(4))
    assert infos.tolist() == [6, 5, 3, 0, 0]
    assert refused(recorded)


def test_what_a_step_prints_is_printed_at_every_step(recorded, capfd, fresh_compiler):
    def step(state, x):
        torch._higher_order_ops.print("now {}", state)
        return state + x, state * 2

    compile_epoch(step)(torch.tensor(0), 4, torch.tensor(1))
    lines = [line for line in capfd.readouterr().out.splitlines() if "now" in line]
    assert len(lines) == 4
    assert all(str(number) in line for number, line in enumerate(lines))
