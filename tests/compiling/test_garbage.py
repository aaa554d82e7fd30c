"""The search for garbage rests while a program is compiled, and no longer."""

import gc

import pytest
import torch

from vae_fn.compiling import compile_pure
from vae_fn.compiling.garbage import resting


@pytest.fixture
def searching(fresh_compiler):
    """Whether Python searched for garbage while a program was traced, in turn."""
    return []


@pytest.fixture
def watched(searching):
    """The backend that tells it."""

    def backend(graph, inputs):
        searching.append(gc.isenabled())
        return graph.forward

    return backend


def test_garbage_is_searched_for_after_a_program_is_compiled(watched, searching):
    for fn in (torch.sin, torch.cos):
        program = compile_pure(fn, backend=watched)
        assert gc.isenabled()
        program(torch.ones(2))
        assert gc.isenabled()
        program(torch.ones(2))
    assert searching == [False, False]


def test_only_the_first_call_of_a_program_is_made_so():
    states = []
    run = compile_pure(lambda: states.append(gc.isenabled()), backend="eager")
    with torch.compiler.set_stance("force_eager"):
        for _ in range(3):
            run()
    assert states == [False, True, True]


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


@pytest.mark.parametrize("first", [0, 1])
def test_it_goes_on_after_the_last_of_two_programs_is_compiled(first):
    """Two threads compile; whichever is done first, the other's objects are not searched."""
    both = [resting(), resting()]
    for each in both:
        each.__enter__()
    both[first].__exit__(None, None, None)
    within = gc.isenabled()
    both[1 - first].__exit__(None, None, None)
    assert (within, gc.isenabled()) == (False, True)
