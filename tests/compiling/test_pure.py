"""Functions that cannot be compiled: what they raise is told as it is, and what Dynamo says as Dynamo says it."""

import traceback

import pytest
import torch

from vae_fn.compiling import compile_pure


class Unlawful(Exception):
    """A class that torch does not know."""


def refuses(x):
    raise Unlawful(f"no function of {x.shape[0]} numbers")


def looks_up(x):
    return x + {"scale": 1}["sclae"]


def writes_and_refuses(x):
    x.add_(1)
    raise ValueError("too late")


OWN = {
    refuses: (Unlawful, "no function of 3 numbers"),
    looks_up: (KeyError, "sclae"),
    writes_and_refuses: (ValueError, "too late"),
}


@pytest.mark.parametrize("fn", OWN)
def test_what_a_function_raises_is_raised(fn, fresh_compiler):
    fault, expected = OWN[fn]
    x = torch.zeros(3)
    with pytest.raises(fault, match=expected) as raised:
        compile_pure(fn, backend="eager")(x)
    assert traceback.extract_tb(raised.tb)[-1].name == fn.__name__
    assert "Dynamo" not in "".join(traceback.format_exception(raised.value))
    assert not x.any()


def branches(x):
    return x if x.sum() > 0 else -x


def asks_where_it_lies(x):
    return x + x.data_ptr()


def breaks_and_refuses(x):
    """Dynamo stops at the break; what follows it never saw."""
    torch._dynamo.graph_break()
    raise ValueError("too late")


@pytest.mark.parametrize("fn", [branches, asks_where_it_lies, breaks_and_refuses])
def test_what_cannot_be_traced_is_told_by_dynamo(fn, fresh_compiler):
    """Run on shapes alone these functions raise something too, which is not why they cannot be compiled."""
    with pytest.raises(torch._dynamo.exc.Unsupported):
        compile_pure(fn, backend="eager")(torch.ones(3))


def test_its_cause_is_told_and_nothing_of_dynamo(fresh_compiler):
    def looks_up_and_refuses(x):
        try:
            return x + {}["scale"]
        except KeyError as fault:
            raise ValueError("no scale") from fault

    with pytest.raises(ValueError, match="no scale") as raised:
        compile_pure(looks_up_and_refuses, backend="eager")(torch.zeros(3))
    assert isinstance(raised.value.__cause__, KeyError)
    assert raised.value.__cause__.__context__ is None


def test_another_reason_on_shapes_alone_is_not_taken_for_it(fresh_compiler):
    def refuses(x):
        raise ValueError("traced" if torch.compiler.is_compiling() else "on shapes alone")

    with pytest.raises(torch._dynamo.exc.Unsupported, match="traced") as raised:
        compile_pure(refuses, backend="eager")(torch.zeros(3))
    assert raised.value.__cause__ is not None


def test_a_compiled_function_may_be_called_in_another_one(fresh_compiler):
    inner = compile_pure(torch.sin, backend="eager")
    outer = compile_pure(lambda x: inner(x) + 1, backend="eager")
    for _ in range(2):
        torch.testing.assert_close(outer(torch.ones(3)), torch.ones(3).sin() + 1)
