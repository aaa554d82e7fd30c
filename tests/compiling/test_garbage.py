"""The search for garbage rests while a program is compiled, and no longer."""

import gc
import sys

import pytest
import torch

from vae_fn.compiling import compile_pure, garbage


@pytest.fixture
def searching():
    """Whether Python searched for garbage while a program was traced, in turn."""
    return []


@pytest.fixture
def watched(searching):
    """A function that tells it, and the backend that sees it."""

    def backend(graph, inputs):
        searching.append(gc.isenabled())
        return graph.forward

    garbage.rest_while_compiling()
    yield backend
    torch.compiler.reset()


def test_garbage_is_searched_for_after_it_is_compiled(watched, searching):
    program = compile_pure(torch.sin, backend=watched)
    assert gc.isenabled()
    program(torch.ones(2))
    program(torch.ones(3))
    assert (searching, gc.isenabled()) == ([False, False], True)


def test_whoever_switched_it_off_keeps_it_off(watched, searching):
    gc.disable()
    try:
        compile_pure(torch.sin, backend=watched)(torch.ones(2))
        assert (searching, gc.isenabled()) == ([False], False)
    finally:
        gc.enable()


def test_a_program_that_cannot_be_compiled_leaves_it_on(watched):
    def breaks(x):
        torch._dynamo.graph_break()
        return x

    with pytest.raises(torch._dynamo.exc.Unsupported):
        compile_pure(breaks, backend=watched)(torch.ones(2))
    assert gc.isenabled()


def test_each_program_sees_to_it_once(fresh_compiler):
    """Torch forgets whom to tell when it is reset."""
    from torch._dynamo.callback import callback_handler

    for _ in range(2):
        for _ in range(2):
            compile_pure(torch.sin)
        assert callback_handler.start_callbacks.count(garbage._begin) == 1
        assert callback_handler.end_callbacks.count(garbage._end) == 1
        torch.compiler.reset()


def test_where_torch_does_not_tell_nothing_changes(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._dynamo.callback", None)
    garbage.rest_while_compiling()
