"""The rows of a training, and the progress bar that shows them."""

import contextlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

FORM = "{desc}|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
"""What the bar shows, which is to fit 80 columns."""


class Row(NamedTuple):
    """Training since the last row.

    Attributes:
        step: steps done.
        epoch: the epoch that the last of them belongs to, from 1.
        info: means of `Info`: examples count equally (for `grad_norm`, steps do), skipped steps not at all; NaN where
            all steps were skipped.
        skipped: steps that were not finite and changed nothing.
        examples_per_second: the speed since the last row.
    """

    step: int
    epoch: int
    info: dict[str, float]
    skipped: int
    examples_per_second: float


def show(bar: tqdm, rows: Sequence[Row], epochs: int) -> None:
    """Means over the members, and the speed of all."""
    if not rows:
        return
    means = {name: sum(row.info[name] for row in rows) / len(rows) for name in ("loss", "kl")}
    terms, skipped = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()), sum(row.skipped for row in rows)
    speed = sum(row.examples_per_second for row in rows)
    bar.set_description(f"epoch {rows[0].epoch}/{epochs}", refresh=False)
    bar.set_postfix_str(f"{terms}, {speed:,.0f} examples/s" + f", {skipped} skipped" * (skipped > 0), refresh=False)


def progress_bar(start: int, steps: int, quiet: bool) -> tqdm:
    """The bar of a training of so many steps, on stderr."""
    seconds_between = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(
        initial=start,
        total=steps,
        bar_format=FORM,
        dynamic_ncols=True,
        mininterval=seconds_between,
        disable=quiet,
        file=_Unbroken(sys.stderr),
    )


class _Unbroken:
    """A stream whose reader may leave: progress that nobody sees does not end a run."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()
