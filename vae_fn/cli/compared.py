"""Tables of `vae-fn bench` from files, and two of them beside each other."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from vae_fn.bench.comparing import Comparison, check_common, check_table, compare, differences, slower
from vae_fn.bench.subject import Source
from vae_fn.errors import UserError


def read_table(path: Path) -> dict[str, Any]:
    """What `--json` wrote.

    Raises:
        UserError: there is no such file, or it is none of these.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise UserError(f"{path}: {fault.strerror}: give a file that --json wrote") from fault
    except ValueError as fault:
        raise UserError(f"{path} is no JSON: give a file that --json wrote") from fault
    check_table(content, str(path))
    return content


def check_alike(before: Mapping[str, Any], here: Mapping[str, Any], path: Path | None) -> None:
    """Refuse to hold times against those of another machine.

    Raises:
        UserError: processor, device, torch or threads are others.
    """
    found = differences(before, here)
    if found:
        raise UserError(
            f"{path} was measured elsewhere ({'; '.join(found)}): measure it here again, or use --anyway to compare "
            "all the same"
        )


def check_plan(before: Mapping[str, Any], sources: Sequence[Source], names: Sequence[str], path: Path) -> None:
    """Refuse to measure what cannot be compared.

    Raises:
        UserError: no row of these names at these sizes is in the table.
    """
    sizes = [{"batch": each.batch, "samples": each.samples, "members": each.members} for each in sources]
    check_common(before["rows"], [{"name": name} | size for name in names for size in sizes], str(path))


def compared_text(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A line for each row that both have, with the ratio of the medians and its interval."""
    found = compare(before["rows"], after["rows"])
    level = min(each.interval.level for each in found)
    note = (
        f"ratio: of the medians, after / before, above 1 is slower; in brackets an interval that covers it with "
        f"probability {level:.3f} at least,\nfrom the order of the windows' times, if windows are independent"
    )
    others = differences(before["environment"], after["environment"])
    warning = [f"warning: the environments differ: {'; '.join(others)}"] if others else []
    return "\n".join([_table(found), note, *warning])


def slower_lines(before: Mapping[str, Any], after: Mapping[str, Any], at_most: float) -> list[str]:
    """A line for each row that has become slower than allowed."""
    return [
        f"slower: {_called(each)} takes {each.after_ms:.3g} ms a step, {each.ratio:.3f} times the {each.before_ms:.3g} "
        f"of the baseline, more than {at_most:g}"
        for each in slower(compare(before["rows"], after["rows"]), at_most)
    ]


def _table(found: Sequence[Comparison]) -> str:
    rows = [
        [
            _called(each),
            f"{each.before_ms:.3g}",
            f"{each.after_ms:.3g}",
            f"{each.ratio:.3f} ({each.interval.low:.3f} .. {each.interval.high:.3f})",
        ]
        for each in found
    ]
    align = ("left", "right", "right", "right")
    return tabulate(rows, ["row", "ms before", "ms after", "ratio"], disable_numparse=True, colalign=align)


def _called(each: Comparison) -> str:
    """A row's name, with what tells it from others of the name."""
    row = each.row
    parts = [
        row["precision"],
        row["device"],
        *(f"{word} {row[name]}" for name, word in (("batch", "batch"), ("samples", "K")) if row[name] is not None),
        *([f"{row['members']} members"] if row["members"] > 1 else []),
    ]
    return f"{row['name']} ({', '.join(parts)})"
