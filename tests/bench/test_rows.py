"""A row: its columns follow from what was measured."""

import json

import pytest

from tests.bench.canned import FIRST, SOURCE, row, steady
from vae_fn.bench import VARIANTS
from vae_fn.bench.rows import Cold, break_even, row_of


def test_break_even_is_where_the_time_gained_pays_for_compiling():
    assert break_even(30.0, 10.0, 4.0) == pytest.approx(5_000)
    assert break_even(30.0, 4.0, 4.0) is None
    assert break_even(30.0, 4.0, 10.0) is None


def test_the_columns_are_consistent():
    found = row([4.0, 5.0, 3.0, 4.0, 4.5], reference=[8.0, 10.0, 6.0, 8.0, 9.0])
    assert found["ms_per_step"] == {"min": 3.0, "q1": 4.0, "median": 4.0, "q3": 4.5}
    assert found["speedup"] == {"min": 2.0, "q1": 2.0, "median": 2.0, "q3": 2.0}
    assert found["break_even_steps"] == pytest.approx(30 / 4e-3)
    assert found["examples_per_second"] == pytest.approx(32_000)
    assert found["gflop_per_second"] == pytest.approx(2.0)
    assert found["gb_per_second"] == pytest.approx(1.0)
    assert (found["limit_ms"], found["ratio_to_limit"]) == (2.0, 2.0)
    assert (found["compile_cold_s"], found["compile_warm_s"]) == (30.0, 5.0)
    assert (found["kernels"], found["extern_calls"]) == (4, 6)
    assert (found["batch"], found["samples"], found["members"]) == (128, 2, 1)
    assert found["notes"] == {"instructions": "not asked for"}
    json.dumps(found, allow_nan=False)


def test_no_gain_has_no_break_even():
    found = row([8.0] * 5, reference=[4.0] * 5)
    assert found["break_even_steps"] is None
    assert found["speedup"]["median"] == 0.5


def test_what_was_not_measured_is_null_and_says_why():
    found = row([4.0] * 5, parity=None)
    assert (found["speedup"], found["break_even_steps"], found["parity"]) == (None, None, None)
    assert found["notes"]["parity"] == "the step does not run in float64"
    found = row([4.0] * 5, parity=float("nan"))
    assert (found["parity"], found["notes"]["parity"]) == (None, "the parameters are not finite after 20 steps")
    cold = Cold(FIRST._replace(peak_mb=None), None, None)
    eager = row_of("eager", VARIANTS["eager"], SOURCE._replace(batch=None), cold, steady([4.0] * 5), [4.0] * 5)
    assert [eager[name] for name in ("compile_cold_s", "compile_warm_s", "break_even_steps", "kernels")] == [None] * 4
    assert (eager["examples_per_second"], eager["notes"]["peak_mb"]) == (None, "the system does not tell")
