"""Two tables beside each other: ratios of medians with intervals, rows that became slower, environments that differ.

An interval of a median is made of two windows in order of their times (order statistics), which assumes no law of the
times, only that windows are independent. The interval of a ratio divides the ends of two such intervals.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vae_fn.errors import UserError

KEY = ("name", "precision", "device", "batch", "samples", "members")
"""What two rows have in common that are compared."""

PLANNED = ("name", "batch", "samples", "members")
"""What of it is known before anything is measured."""

TOLD = 8
"""The most rows that a message names."""

ALIKE = ("processor", "device", "torch", "threads")
"""What of an environment times cannot be compared across."""

LEVEL = 0.95
"""Of the interval of a ratio, if the windows are enough: it covers the ratio of the medians at least so often."""

Row = Mapping[str, Any]


class Interval(NamedTuple):
    """Two ends, and the probability at least with which they hold what is between them."""

    low: float
    high: float
    level: float


class Comparison(NamedTuple):
    """A row in two tables.

    Attributes:
        row: what it is called there, by `KEY`.
        before_ms: the median of a step.
        after_ms: the same in the other table.
        ratio: after / before, of the medians; above 1 is slower.
        interval: of the ratio.
    """

    row: Row
    before_ms: float
    after_ms: float
    ratio: float
    interval: Interval


def median_interval(values: Sequence[float], level: float) -> Interval:
    """The narrowest [x_(k), x_(n+1-k)] that holds the median with probability `level`; all values if none does.

    Its probability is 1 - 2 P(B < k), where B ~ Binomial(n, 1/2) is how many values fall below the median.
    """
    ordered, n = sorted(values), len(values)
    covers = [1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n for k in range(1, n // 2 + 1)] or [0.0]
    k = max((k for k, covered in enumerate(covers) if covered >= level), default=0)
    return Interval(ordered[k], ordered[n - 1 - k], covers[k])


def ratio_interval(after: Sequence[float], before: Sequence[float], level: float = LEVEL) -> Interval:
    """An interval of median(after) / median(before): each median's misses with half of what may be missed.

    Of too few windows nothing is known, and the level is 0.
    """
    top, bottom = (median_interval(values, (1 + level) / 2) for values in (after, before))
    return Interval(top.low / bottom.high, top.high / bottom.low, max(top.level + bottom.level - 1, 0.0))


def compare(before: Sequence[Row], after: Sequence[Row]) -> list[Comparison]:
    """The rows that both tables have, in the order of the second.

    Raises:
        UserError: there are none.
    """
    old = {_key(row): row for row in before}
    found = [_compared(old[_key(row)], row) for row in after if _key(row) in old]
    if not found:
        raise UserError(f"the two have no row in common: rows are the same if {', '.join(KEY)} are")
    return found


def check_common(before: Sequence[Row], planned: Sequence[Row], name: str) -> None:
    """Check that a table has a row, by `PLANNED`, of those that will be measured.

    Raises:
        UserError: it has none, and what it has instead.
    """
    if not {_key(row, PLANNED) for row in before} & {_key(row, PLANNED) for row in planned}:
        raise UserError(
            f"{name} has none of the rows to be measured, which are {_called(planned)}; it has {_called(before)}: "
            "choose of these, or measure it anew"
        )


def _called(rows: Sequence[Mapping[str, Any]]) -> str:
    """Some rows by name and sizes."""
    sizes = [[f"{part} {row[part]}" for part in PLANNED[1:] if row[part] is not None] for row in rows]
    told = [", ".join([row["name"], *own]) for row, own in zip(rows, sizes, strict=True)]
    return "; ".join(told[:TOLD] + [f"{len(told) - TOLD} more"] * (len(told) > TOLD)) or "none"


def slower(comparisons: Sequence[Comparison], at_most: float) -> list[Comparison]:
    """Those whose median has become more than `at_most` times what it was."""
    return [each for each in comparisons if each.ratio > at_most]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """In words, in what two environments differ that makes their times incomparable, as far as the second tells."""
    known = [name for name in ALIKE if name in after]
    return [f"{name} {before.get(name)} and {after[name]}" for name in known if before.get(name) != after[name]]


def check_table(content: Any, name: str) -> None:
    """Check that something read from a file is such a table.

    Raises:
        UserError: it is not.
    """
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not isinstance(content.get("environment"), dict) or not all(map(_is_row, rows)):
        raise UserError(f"{name} is no table of a bench: give a file that --json wrote")


def _is_row(row: Any) -> bool:
    """Whether something has all that is compared: names, sizes, a median and windows."""
    if not isinstance(row, dict) or not {*KEY, "windows_ms", "ms_per_step"} <= row.keys():
        return False
    windows, times = row["windows_ms"], row["ms_per_step"]
    called = all(row[part] is None or isinstance(row[part], str | int) for part in KEY)
    lists = isinstance(windows, list) and len(windows) > 0 and isinstance(times, dict)
    return called and isinstance(row["members"], int) and lists and all(map(_is_time, (*windows, times.get("median"))))


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def _key(row: Row, parts: Sequence[str] = KEY) -> tuple[Any, ...]:
    return tuple(row[name] for name in parts)


def _compared(old: Row, new: Row) -> Comparison:
    before, after = old["ms_per_step"]["median"], new["ms_per_step"]["median"]
    interval = ratio_interval(new["windows_ms"], old["windows_ms"])
    return Comparison({name: new[name] for name in KEY}, before, after, after / before, interval)
