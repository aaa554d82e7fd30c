"""Intervals of medians and of their ratios, rows that became slower, environments."""

import itertools
import math

import numpy as np
import pytest

from vae_fn.bench.comparing import (
    KEY,
    LEVEL,
    check_common,
    check_table,
    compare,
    differences,
    median_interval,
    ratio_interval,
    slower,
)
from vae_fn.bench.windows import spread
from vae_fn.errors import UserError


def row(name, windows, **changes):
    fixed = {"precision": "float32", "device": "cpu", "batch": 128, "samples": 1, "members": 1}
    return fixed | {"name": name, "windows_ms": windows, "ms_per_step": spread(windows)._asdict()} | changes


@pytest.mark.parametrize("n", range(1, 12))
def test_the_probability_of_a_median_interval_is_exact(n):
    """Enumerated: every value lies above or below the median with probability 1/2."""
    for level in (0.5, 0.9, 0.99):
        found = median_interval([float(i) for i in range(n)], level)
        low = int(found.low)
        covered = sum(low < sum(below) < n - low for below in itertools.product((0, 1), repeat=n)) / 2**n
        assert math.isclose(found.level, covered if n > 1 else 0.0)
        assert found.high == n - 1 - low


def test_a_median_interval_is_the_narrowest_at_its_level():
    values = [float(i) for i in range(15)]
    found = median_interval(values, 0.95)
    assert found.level >= 0.95
    inner = median_interval(values, 0.5)
    assert inner.high - inner.low < found.high - found.low


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    rng, misses, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        after, before = 1.2 * rng.lognormal(0, 0.2, 11), rng.lognormal(0, 0.2, 11)
        found = ratio_interval(after.tolist(), before.tolist())
        misses += not found.low <= 1.2 <= found.high
    assert found.level >= LEVEL
    assert misses <= (1 - LEVEL) * runs


def test_few_windows_give_less_than_the_level_and_say_so():
    found = ratio_interval([2.0, 2.1, 2.2, 2.3, 2.4], [1.0, 1.1, 1.2, 1.3, 1.4])
    assert found.level == pytest.approx(1 - 2 * 2 / 2**5)
    assert (found.low, found.high) == (pytest.approx(2.0 / 1.4), pytest.approx(2.4 / 1.0))


@pytest.mark.parametrize(("after", "before"), [([1.0], [2.0]), ([1.0] * 9, [2.0]), ([1.0, 1.0], [2.0, 2.0])])
def test_the_level_of_too_few_windows_is_a_probability(after, before):
    assert ratio_interval(after, before) == (0.5, 0.5, 0.0)


def test_rows_are_compared_by_what_they_have_in_common():
    before = [row("a", [1.0] * 5), row("b", [2.0] * 5), row("a", [9.0] * 5, batch=64)]
    found = compare(before, [row("b", [2.5] * 5), row("a", [1.0] * 5), row("c", [1.0] * 5)])
    assert [each.row["name"] for each in found] == ["b", "a"]
    assert [each.ratio for each in found] == [1.25, 1.0]
    assert [each.row["name"] for each in slower(found, 1.1)] == ["b"]
    assert slower(found, 1.25) == []
    assert found[0].row.keys() == set(KEY)


def test_tables_without_a_common_row_are_refused():
    with pytest.raises(UserError, match="no row in common"):
        compare([row("a", [1.0] * 5)], [row("a", [1.0] * 5, samples=2)])


def test_rows_in_common_are_looked_for_by_what_is_known_before():
    before = [row("a", [1.0] * 5, samples=None), row("b", [1.0] * 5, samples=None, precision="float64")]
    planned = {"name": "b", "batch": 128, "samples": None, "members": 1}
    check_common(before, [planned, planned | {"batch": 64}], "base.json")
    for change in ({"name": "c"}, {"batch": 64}, {"samples": 2}, {"members": 8}):
        with pytest.raises(UserError, match=r"none of the rows .*; it has a, batch 128, members 1; b, .*: choose"):
            check_common(before, [planned | change], "base.json")
    with pytest.raises(
        UserError, match=r"^base\.json has none of the rows to be measured, which are .*; it has none: choose"
    ):
        check_common([], [planned], "base.json")


def test_environments_that_differ_are_told():
    one = {"processor": "P", "device": "P", "torch": "2.14", "threads": 2, "python": "3.11"}
    assert differences(one, one | {"python": "3.12"}) == []
    assert differences(one, one | {"threads": 4}) == ["threads 2 and 4"]
    assert differences(one, {"torch": "2.15"}) == ["torch 2.14 and 2.15"]


def test_a_table_is_taken():
    rows = [row("a", [1.0] * 5), row("b", [1.0] * 5, windows_ms=[1, 2], batch=None, samples=None)]
    check_table({"rows": rows, "environment": {}}, "file.json")


@pytest.mark.parametrize(
    "change",
    [
        {"ms_per_step": 3},
        {"ms_per_step": {"min": 1.0}},
        *({"ms_per_step": {"median": median}} for median in (0.0, -1.0, math.nan, math.inf, "1", None)),
        {"windows_ms": []},
        {"windows_ms": 3},
        *({"windows_ms": [1.0, window]} for window in (0.0, -1.0, math.nan, math.inf, "1", None)),
        {"name": ["a"]},
        {"members": None},
    ],
)
def test_a_row_without_its_times_is_refused(change):
    rows = [row("a", [1.0] * 5), row("b", [1.0] * 5) | change]
    with pytest.raises(UserError, match="no table of a bench"):
        check_table({"rows": rows, "environment": {}}, "file.json")


@pytest.mark.parametrize("content", [[], {}, {"rows": []}, {"rows": [{}], "environment": {}}, {"rows": 3}])
def test_what_is_no_table_is_refused(content):
    with pytest.raises(UserError, match="no table of a bench"):
        check_table(content, "file.json")
