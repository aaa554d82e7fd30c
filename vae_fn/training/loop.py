"""The training loop: steps, rows for whoever listens, and the places where a run can be left and taken up again."""

import contextlib
import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from vae_fn import tree
from vae_fn.training.batches import Batches
from vae_fn.training.nonfinite import all_finite, first_nonfinite
from vae_fn.training.step import Info, State
from vae_fn.training.stretches import LONGEST, Advance

PATIENCE = 0.5
"""Seconds of a stretch of steps beyond which the next one is shorter: what a signal and the progress bar wait for."""


class Progress(NamedTuple):
    """All that a run needs to go on from where it stands, next to its keys and data.

    Attributes:
        state: what the next step needs.
        pending: what the steps since the last row reported, a row of `Info`'s numbers each.
    """

    state: State
    pending: Float32[Tensor, "n fields"]


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


class Hooks(NamedTuple):
    """Who listens, in this order.

    Attributes:
        log: `log(row)` at every row, the last of an epoch and of a run that is not finite included.
        epoch: `epoch(state, step, epoch)` at the end of an epoch.
        wants: `wants(step)`: whether `save` is to be called after that step. It is asked ahead, and more than once.
        save: `save(progress)`; what it raises ends the loop.
    """

    log: Callable[[Row], None] = lambda row: None
    epoch: Callable[[State, int, int], None] = lambda state, step, epoch: None
    wants: Callable[[int], bool] = lambda step: False
    save: Callable[[Progress], None] = lambda progress: None


def begin(state: State) -> Progress:
    """The progress of a run that has done nothing yet."""
    return Progress(state, torch.empty(0, len(Info._fields), device=state.step.device))


def fit(
    advance: Advance,
    progress: Progress,
    batches: Batches,
    *,
    epochs: int,
    log_every: int,
    hooks: Hooks,
    skipping: bool = False,
    quiet: bool = False,
) -> State:
    """Run the steps that are left of all epochs and return the last state.

    The device is waited for at rows, and where `hooks.wants` the state, alone. There everything must be finite, or a
    last row is written and the first step that was not is found by running again from the last such place.

    Args:
        advance: takes a stretch of steps, as from `one_by_one` or `compiled_stretches`.
        progress: where to start, as from `begin`.
        batches: the batch of every step, on the state's device.
        epochs: passes over the data in all.
        log_every: steps per row.
        hooks: who listens.
        skipping: steps that are not finite leave the state alone (`skip_nonfinite`): they are counted and go on.
        quiet: show no progress.

    Raises:
        NonFiniteStep: A step gave or left something that is not finite.
    """
    state, held = progress.state, tree.clone(progress.state)
    step, steps = int(state.step), epochs * batches.per_epoch
    window, most = _Window([progress.pending], skipping, step, time.perf_counter()), 1

    def due(step: int) -> bool:
        return step % log_every == 0 or step % batches.per_epoch == 0

    with _progress(step, steps, quiet) as bar:
        while step < steps:
            count = next(n for n in range(1, most + 1) if n == most or due(step + n) or hooks.wants(step + n))
            began = time.perf_counter()
            state, infos = advance(state, step, count)
            most = min(2 * most, LONGEST) if time.perf_counter() - began < PATIENCE else max(most // 2, 1)
            step += count
            window.infos.append(infos)
            bar.update(count)
            epoch, ends, wanted = (step - 1) // batches.per_epoch + 1, step % batches.per_epoch == 0, hooks.wants(step)
            lost = (due(step) or wanted) and not all_finite(state if skipping else (state, window.stacked()))
            if due(step) or lost:
                row = Row(step, epoch, *window.close(batches, step))
                _show(bar, row, epochs)
                hooks.log(row)
            if lost:
                raise first_nonfinite(advance, held, step, batches, skipping=skipping)
            if due(step) or wanted:
                held = tree.clone(state)
            if ends:
                hooks.epoch(state, step, epoch)
            if wanted:
                hooks.save(Progress(state, window.stacked()))
            if ends:
                window.since = time.perf_counter()
    return state


class _Window:
    """The steps since the last row; what they report stays on the device until the row is written."""

    def __init__(self, infos: list[Tensor], skipping: bool, step: int, since: float):
        self.infos, self.skipping, self.timed_from, self.since = infos, skipping, step, since

    def stacked(self) -> Float32[Tensor, "n fields"]:
        return torch.cat(self.infos) if self.infos else torch.empty(0, len(Info._fields))

    def close(self, batches: Batches, step: int) -> tuple[dict[str, float], int, float]:
        reports = self.stacked().tolist()
        sizes = [batches.size(before) for before in range(step - len(reports), step)]
        kept = [(r, size) for r, size in zip(reports, sizes, strict=True) if not self.skipping or not _skipped(r)]
        now = time.perf_counter()
        speed = sum(batches.size(before) for before in range(self.timed_from, step)) / (now - self.since)
        self.infos, self.timed_from, self.since = [], step, now
        return _means(kept), len(reports) - len(kept), speed


def _skipped(report: list[float]) -> bool:
    return all(map(math.isnan, report))


def _means(reports: list[tuple[list[float], int]]) -> dict[str, float]:
    total = sum(size for _, size in reports)
    means = dict.fromkeys(Info._fields, 0.0 if reports else math.nan)
    for values, size in reports:
        for name, value in zip(Info._fields, values, strict=True):
            means[name] += value * (1 / len(reports) if name == "grad_norm" else size / total)
    return means


def _show(bar: tqdm, row: Row, epochs: int) -> None:
    terms = ", ".join(f"{name} {row.info[name]:.2f}" for name in ("loss", "reconstruction", "kl"))
    skipped = f", {row.skipped} skipped" if row.skipped else ""
    bar.set_description(f"epoch {row.epoch}/{epochs}", refresh=False)
    bar.set_postfix_str(f"{terms}, {row.examples_per_second:,.0f} examples/s{skipped}", refresh=False)


def _progress(start: int, steps: int, quiet: bool) -> tqdm:
    seconds_between = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(
        initial=start,
        total=steps,
        unit="step",
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
