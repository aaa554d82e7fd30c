"""Graphs counted, and the argument that makes another one."""

import pytest
import torch

from vae_fn import verify
from vae_fn.training import adamw

X = torch.ones(3)


def shrink(x, options):
    return x - options["rate"] * x


def test_tensors_that_change_compile_once(fresh_compiler):
    calls = [(X * i, {"rate": torch.tensor(0.1 * i), "name": "sgd"}) for i in range(12)]
    assert verify.no_recompile(shrink, calls).check().detail == "one graph for 12 calls"


def test_an_optimizer_compiles_once(fresh_compiler):
    optimizer = adamw(torch.tensor(0.1))
    params, grads = {"w": X}, {"w": 2 * X}
    state = optimizer.init(params)
    moved, after = optimizer.update(grads, state, params)
    verify.no_recompile(optimizer.update, [(grads, state, params), (grads, after, moved)]).check()


def test_one_tensor_given_twice_is_another_program(fresh_compiler):
    verdict = verify.no_recompile(torch.add, [(X, X), (X, X + 1)])
    assert verdict.coordinate == "argument 1"
    assert "one given twice" in verdict.detail


def test_the_guilty_argument_is_named(fresh_compiler):
    calls = [(X, {"rate": 0.1 * i, "unused": i}) for i in range(12)]
    verdict = verify.no_recompile(shrink, calls)
    assert verdict.status == "rejected"
    assert verdict.coordinate == "options/rate"
    assert "call 2" in verdict.detail
    assert "0.0 to 0.1" in verdict.detail
    assert "unused" not in verdict.detail


def test_a_layout_and_a_hidden_counter_are_told_apart(fresh_compiler):
    verdict = verify.no_recompile(torch.sin, [(torch.ones(2, 3),), (torch.ones(3, 2).T,)])
    assert "strides" in verdict.detail

    calls = []

    def counting(x):
        calls.append(0)
        return x * len(calls)

    assert "no leaf alone" in verify.no_recompile(counting, [(X,), (X,)]).detail


def test_a_graph_break_is_a_reason(fresh_compiler):
    def breaks(x):
        torch._dynamo.graph_break()
        return x

    verdict = verify.no_recompile(breaks, [(X,), (X,)])
    assert verdict.status == "rejected"
    assert "cannot be compiled whole" in verdict.detail


def test_calls_that_cannot_be_compared_are_refused():
    for calls in ([(X,)], []):
        with pytest.raises(ValueError, match="two calls"):
            verify.no_recompile(torch.sin, calls)
    for other in (torch.ones(4), X.double(), 3.0):
        with pytest.raises(ValueError, match="calls 1 and 2 differ at "):
            verify.no_recompile(lambda x: x, [(X,), (other,)])
