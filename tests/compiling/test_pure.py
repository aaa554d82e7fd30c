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
