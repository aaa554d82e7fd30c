"""The graph of a step, called again past `torch.compile`: the same numbers; the usual way where that fails."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vae_fn.compiling import compile_epoch, compile_pure
from vae_fn.compiling.again import Call, Watched
from vae_fn.compiling.recorder import Recordings


def decaying(state, x):
    """A step whose report has two leaves and an absent part."""
    new = state * 0.5 + x
    return new, {"new": new, "old": (state, None)}


def expected(state, x, count):
    news, olds = [], []
    for _ in range(count):
        olds.append(state)
        state = state * 0.5 + x
        news.append(state)
    return state, torch.stack(news), torch.stack(olds)


def counting_backend(calls):
    def backend(graph, inputs):
        def counted(*inputs):
            calls.append(len(inputs))
            return graph(*inputs)

        return counted

    return backend


def right(run, count=5):
    x = torch.arange(3.0)
    state, infos = run(torch.ones(3), count, x)
    end, news, olds = expected(torch.ones(3), x, count)
    assert torch.equal(state, end)
    assert torch.equal(infos["new"], news)
    assert torch.equal(infos["old"][0], olds)
    assert infos["old"][1] is None


@pytest.fixture
def entries(monkeypatch):
    """The calls that go through what `torch.compile` made."""
    seen = []

    def noting(fn, **settings):
        compiled = compile_pure(fn, **settings)

        def entered(*args):
            seen.append(1)
            return compiled(*args)

        return entered

    monkeypatch.setattr("vae_fn.compiling.step.compile_pure", noting)
    return seen


def test_only_the_first_step_of_a_call_goes_through_torch_compile(entries, fresh_compiler):
    calls = []
    run = compile_epoch(decaying, backend=counting_backend(calls))
    for _ in range(2):
        right(run)
    assert len(entries) == 2
    assert calls == [2] * 10


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_every_backend_is_called_again(backend, entries, fresh_compiler):
    right(compile_epoch(decaying, backend=backend))
    assert len(entries) == 1


def test_where_torch_does_not_compile_every_step_goes_the_usual_way(entries, fresh_compiler):
    calls = []
    run = compile_epoch(decaying, backend=counting_backend(calls))
    with torch.compiler.set_stance("force_eager"):
        right(run)
    assert len(entries) == 5
    assert not calls


def test_another_mode_of_gradients_is_seen_by_the_next_call(fresh_compiler):
    """A graph made without gradients would give none."""

    def scaled(state, x, w):
        return state + 1, (w * x).sum()

    run, w = compile_epoch(scaled, backend="eager"), torch.ones(3, requires_grad=True)
    for mode in (False, True):
        with torch.set_grad_enabled(mode):
            _, infos = run(torch.tensor(0), 2, torch.arange(3.0), w)
        assert infos.requires_grad == mode


def test_nothing_is_kept_from_a_call(fresh_compiler):
    run, x = compile_epoch(decaying, backend="eager"), torch.arange(3.0)
    state, infos = run(torch.ones(3), 3, x)
    held = [weakref.ref(tensor) for tensor in (x, state, infos["new"])]
    del x, state, infos
    gc.collect()
    assert [reference() for reference in held] == [None] * 3


def test_nothing_is_kept_where_every_step_goes_the_usual_way(entries, monkeypatch, fresh_compiler):
    monkeypatch.setattr(Call, "again", lambda call, results, count, recordings: None)
    run, x, state = compile_epoch(decaying, backend="eager"), torch.arange(3.0), torch.ones(3)
    run(state, 3, x)
    held = [weakref.ref(tensor) for tensor in (x, state)]
    del x, state
    gc.collect()
    assert [reference() for reference in held] == [None] * 2
    right(run)
    assert len(entries) == 3 + 5


def test_a_thread_is_told_its_own_calls_alone(fresh_compiler):
    watched = Watched("eager")
    compiled = compile_pure(lambda x: x + 1, backend=watched)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(compiled, torch.ones(2)).result()
        assert watched.forget() is None
        assert pool.submit(watched.forget).result().outputs[0].tolist() == [2, 2]


def test_a_result_that_the_graph_did_not_give_is_told():
    there, made = torch.ones(2), torch.zeros(2)
    call = Call(lambda x: [x + 1], (made,), [made])
    assert call.again([there], 1, Recordings()) is None
    for count in (0, 2):
        assert [value.tolist() for value in call.again([made, made], count, Recordings())] == [count * [[1, 1]]] * 2


def test_the_last_call_is_told_once(fresh_compiler):
    watched = Watched("eager")
    compiled = compile_pure(lambda x: x + 1, backend=watched)
    assert watched.forget() is None
    compiled(torch.ones(2))
    assert watched.forget().outputs[0].tolist() == [2, 2]
    assert watched.forget() is None


def failing_backend(at):
    """Graphs whose call number `at` fails."""
    calls = []

    def backend(graph, inputs):
        def failing(*inputs):
            calls.append(1)
            if len(calls) == at:
                raise RuntimeError("no room")
            return graph(*inputs)

        return failing

    return backend


@pytest.mark.parametrize("at", [1, 3])
def test_a_step_that_fails_leaves_nothing_behind(at, fresh_compiler):
    run, x, state = compile_epoch(decaying, backend=failing_backend(at)), torch.arange(3.0), torch.ones(3)
    with pytest.raises(RuntimeError, match="no room"):
        run(state, 5, x)
    held = [weakref.ref(tensor) for tensor in (x, state)]
    del x, state
    gc.collect()
    assert [reference() for reference in held] == [None] * 2
    right(run)


class Named(torch.Tensor):
    """A subclass that torch's functions ask first."""


def test_a_subclass_with_rules_of_its_own_goes_the_usual_way():
    made = torch.zeros(2)
    call = Call(lambda x: [x + 1], (made.as_subclass(Named),), [made])
    assert call.again([made], 1, Recordings()) is None
    assert Call(lambda x: [x + 1], (torch.nn.Parameter(made),), [made]).again([made], 1, Recordings()) is not None


def test_an_unknown_backend_is_told_by_its_name():
    with pytest.raises(Exception, match="nonsense"):
        Watched("nonsense")


def test_gradients_flow_through_all_steps(fresh_compiler):
    def scaled(state, x, w):
        return state + 1, (w * x).sum()

    run, w = compile_epoch(scaled), torch.ones(3, requires_grad=True)
    _, infos = run(torch.tensor(1), 3, torch.arange(3.0), w)
    infos.sum().backward()
    assert w.grad.tolist() == [0, 3, 6]
