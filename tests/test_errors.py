"""How a mistake is told."""

import errno
import statistics
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn

from vae_fn.errors import brief, check_count, check_kind, described, lacks_memory, lines_through, place


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (0, "0"),
        (True, "True"),
        (np.float32(0.5), "np.float32(0.5)"),
        ("grey", "'grey'"),
        ("grey " * 20, "a str"),
        (nn.Linear, "the class Linear"),
        (nn.Identity(), "an Identity"),
        (described, "the function described"),
        (len, "the function len"),
        ({"encoder": 1}, "a dict"),
        (np.zeros((2, 3)), "an ndarray of float64 and shape (2, 3)"),
        (torch.zeros(2, dtype=torch.uint8), "a Tensor of torch.uint8 and shape (2,)"),
    ],
)
def test_described(value, words):
    assert described(value) == words


def test_kinds():
    check_kind("net", nn.Identity(), nn.Module, "")
    with pytest.raises(TypeError, match=r"^net must be a Module, not the class Linear: call it$"):
        check_kind("net", nn.Linear, nn.Module, "call it")


def test_named_tuples_of_the_same_fields_are_told_how_one_that_keeps_the_contract_becomes_one():
    kind, own = (namedtuple(name, ("first", "second")) for name in ("Pair", "Own"))
    hint = r"one of your own that keeps the same contract becomes one by Pair\(\*pair\)"
    with pytest.raises(TypeError, match=rf"^pair must be a Pair, not an Own: call it; {hint}$"):
        check_kind("pair", own(1, 2), kind, "call it")
    for other in (own, kind, namedtuple("Other", ("second", "first"))(1, 2), (1, 2)):
        with pytest.raises(TypeError, match=r"^pair must be a Pair, not .*: call it$"):
            check_kind("pair", other, kind, "call it")


@pytest.mark.parametrize("value", [1, 7, np.int64(2)])
def test_counts(value):
    check_count("samples", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, float("nan"), "3", None])
def test_what_is_no_count(value):
    with pytest.raises(ValueError, match=r"^samples=.* is out of range: give a whole number, 1 or more$"):
        check_count("samples", value)


def test_the_lines_that_a_fault_came_through():
    def average():
        statistics.mean([])

    with pytest.raises(statistics.StatisticsError) as raised:
        average()
    first = average.__code__.co_firstlineno
    own = [(__file__, first + 1), (__file__, first + 4)]
    (file, _), *outer = lines_through(raised.value)
    assert (file, outer) == (statistics.__file__, own)
    assert lines_through(raised.value, lambda file: file == __file__) == own
    assert lines_through(raised.value, lambda file: False) == []


ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"


class InductorError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError(ALLOCATOR),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        InductorError(f"RuntimeError: {ALLOCATOR}"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_want_of_memory_is_known_in_every_form(fault):
    assert lacks_memory(fault)


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),
        KeyError(),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_other_faults_lack_no_memory(fault):
    assert not lacks_memory(fault)


def test_a_fault_in_brief():
    assert brief(KeyError()) == "KeyError"
    assert brief(ValueError("\n  first \nsecond")) == "ValueError: first"
    assert brief(ValueError("long " * 100)).startswith("ValueError: long long")
    assert len(brief(ValueError("long " * 100))) == 300


def test_a_line_is_named_by_the_path_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place(tmp_path / "folder" / "mine.py", 9) == "folder/mine.py, line 9"
    assert place(tmp_path.parent / "mine.py", 9) == f"{tmp_path.parent}/mine.py, line 9"
