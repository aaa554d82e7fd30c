"""The calls of a graph, noted once and made again: the same bits, and no recording of what may differ."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch._higher_order_ops.while_loop import while_loop
from torch._inductor import compile as compile_by_inductor

from tests.compiling.recordings import check_as_single_steps, check_equal, given, layered, one_recording, refused
from tests.training.problems import algorithm, images, streams
from vae_fn import data, gradients, tree
from vae_fn.compiling import compile_epoch, recorder
from vae_fn.gradients import estimators
from vae_fn.training.batches import Batches
from vae_fn.training.stretches import Member, compiled_stretches


def test_the_numbers_are_those_of_the_graph(recorded, fresh_compiler):
    check_as_single_steps(layered, *given())
    assert one_recording(recorded)


@pytest.mark.parametrize("gemm", [None, "torch"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pose": gradients.elbo_sampled_problem, "estimator": estimators.dreg(), "binarisation": data.DYNAMIC},
    ],
    ids=["pathwise", "dreg"],
)
def test_a_training_keeps_its_bits(settings, gemm, recorded, unrecorded, fresh_compiler):
    built, batches = algorithm(**settings), Batches(images(20), streams().order, 6)

    def trained():
        advance = compiled_stretches(lambda values: built, [Member((), batches, streams())], gemm=gemm)
        states, infos = advance({0: built.init(streams().init, batches(0))}, 0, 3)
        states, more = advance(states, 3, 1)  # of two images, a program of its own
        states, rest = advance(states, 4, 3)
        return states[0], infos, more, rest

    found = trained()
    assert one_recording(recorded)
    unrecorded()
    check_equal(found, trained())


def test_what_torch_returns_in_new_memory_comes_to_the_same_place(recorded, fresh_compiler):
    def step(state, x):
        values, order = torch.sort(state * x, stable=True)
        return values + 1, (order, values.cumsum(0))

    check_as_single_steps(step, torch.linspace(1, 0, 7), torch.linspace(-1, 1, 7))
    assert one_recording(recorded)


def test_new_memory_of_some_size_is_not_copied_around(recorded, monkeypatch, fresh_compiler):
    monkeypatch.setattr(recorder, "COPIED", 7 * 12 - 1)
    check_as_single_steps(lambda s, x: (s + torch.sort(s * x)[0], s.sum()), torch.linspace(1, 0, 7), torch.ones(7))
    assert refused(recorded)


def test_much_memory_is_not_kept(recorded, monkeypatch, fresh_compiler):
    monkeypatch.setattr(recorder, "ROOM", 100)
    check_as_single_steps(layered, *given())
    assert refused(recorded)


def test_a_loop_is_not_recorded(recorded, fresh_compiler):
    """How often it goes round may differ from step to step."""

    def step(state, x):
        start, most = torch.zeros((), dtype=torch.int64), state.sum().long()
        _, y = while_loop(lambda n, y: n < most, lambda n, y: (n + 1, y * 0.5 + x), (start, state))
        return y + 1, y.norm()

    check_as_single_steps(step, torch.zeros(3), torch.ones(3))
    assert refused(recorded)


def test_a_branch_is_not_recorded(recorded, fresh_compiler):
    def step(state, x):
        return torch.cond(state.sum() > 2, lambda s: s - 2 * x, lambda s: s + x, (state,)), state.sum()

    check_as_single_steps(step, torch.zeros(3), torch.ones(3))
    assert refused(recorded)


def test_a_number_or_a_size_that_is_read_out_of_a_tensor_ends_the_recording():
    x = torch.ones(2)
    for read, known in ((lambda: x.sum().item(), False), (lambda: x.nonzero(), False), (lambda: x.sum(), True)):
        mode = recorder._Recorder([x])
        with mode:
            read()
        assert (mode.recording([x]) is not None) == known


def test_a_report_that_lies_in_another_order_is_not_recorded(recorded, fresh_compiler):
    check_as_single_steps(lambda state, x: (state + x, 2 * state.T), *torch.linspace(0, 1, 24).view(2, 3, 4))
    assert refused(recorded)


def test_what_the_step_closes_over_is_read_at_every_step(recorded, fresh_compiler):
    scale = torch.ones(3)
    run = compile_epoch(lambda state: (state + scale, state.sum()))
    for value in (1.0, 2.0, 3.0):
        scale.fill_(value)
        state, _ = run(torch.zeros(3), 4)
        assert state.tolist() == [4 * value] * 3
    assert one_recording(recorded)


def test_threads_record_for_themselves(recorded, fresh_compiler):
    run, (state, x) = compile_epoch(layered, donate=False), given()
    expected = run(state, 50, x)
    together = Barrier(2)

    def taken():
        together.wait()
        return [run(state, 50, x) for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(taken) for _ in range(2)]:
            for found in future.result():
                check_equal(found, expected)
    assert len(recorded) == 3
    assert None not in recorded


def test_a_recording_keeps_nothing_that_it_was_given(recorded, fresh_compiler):
    run, (state, x) = compile_epoch(layered), given()
    state, infos = run(state, 3, x)
    held = [weakref.ref(tensor) for tensor in (x, *tree.leaves((state, infos)))]
    del x, state, infos
    gc.collect()
    assert [reference() for reference in held] == [None] * 4
    assert one_recording(recorded)


@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
def test_an_input_that_is_read_conjugated_is_not_taken_as_it_lies(recorded, fresh_compiler):
    s, w = torch.complex(*torch.linspace(0, 1, 36).view(2, 2, 3, 3))
    check_as_single_steps(lambda s, w: (s * 0.5 + w.conj(), (s @ s.mH).real), s, w)
    assert refused(recorded)


def test_two_closed_over_views_of_one_memory_are_not_told_apart(recorded, fresh_compiler):
    whole = torch.linspace(0, 1, 6).view(2, 3)
    part = whole[0]
    check_as_single_steps(lambda state, x: (state + whole.sum(0) * part + x, state * 2), *torch.ones(2, 3))
    assert refused(recorded)


def test_a_recording_made_in_inference_mode_would_be_of_no_use_outside(recorded, fresh_compiler):
    run, (state, x) = compile_epoch(layered, donate=False, gemm="torch"), given()
    expected = run(state, 3, x)
    torch.compiler.reset()
    recorded.clear()
    run = compile_epoch(layered, donate=False, gemm="torch")
    with torch.inference_mode():
        check_equal(run(state, 3, x), expected)
    assert not recorded
    for _ in range(2):
        check_equal(run(state, 3, x), expected)
    with torch.inference_mode():
        check_equal(run(state, 3, x), expected)
    assert one_recording(recorded)


def test_what_a_backend_adds_to_inductor_is_done_at_every_step(recorded, fresh_compiler):
    """So a backend of one's own is not recorded: what it does besides is not seen."""
    calls = []

    def backend(graph, inputs):
        compiled = compile_by_inductor(graph, inputs)

        def counted(*inputs):
            calls.append(1)
            return compiled(*inputs)

        return counted

    state, x = given()
    compile_epoch(layered, backend=backend)(state, 5, x)
    assert len(calls) == 5
    assert not recorded


@pytest.mark.parametrize("end", ["reset", "dropped"])
def test_a_recording_goes_with_its_program(end, recorded, fresh_compiler):
    run, (state, x) = compile_epoch(layered), given()
    run(state, 3, x)
    kept = next(part for call in recorded.pop().calls for part in call.args if isinstance(part, torch.Tensor))
    held = weakref.ref(kept)
    del kept
    gc.collect()
    assert held() is not None
    if end == "reset":
        torch.compiler.reset()
    else:
        del run
    gc.collect()
    assert held() is None


def test_where_gradients_are_wanted_nothing_is_recorded(recorded, fresh_compiler):
    w = torch.ones(3, requires_grad=True)
    run = compile_epoch(lambda state, x, w: (state + 1, (w * x).sum()))
    _, infos = run(torch.tensor(1.0), 3, torch.arange(3.0), w)
    infos.sum().backward()
    assert w.grad.tolist() == [0, 3, 6]
    assert refused(recorded)
