"""The training loop: steps, rows for whoever listens, and the places where a run can be left and taken up again.

Several trainings go in lock-step, as the members of an ensemble; one alone is an ensemble of one.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

import torch
from jaxtyping import Float32
from torch import Tensor

from vae_fn import tree
from vae_fn.training.bar import Row, progress_bar, show
from vae_fn.training.batches import Batches, check_alike
from vae_fn.training.nonfinite import NonFiniteStep, all_finite, first_nonfinite
from vae_fn.training.step import Info, State
from vae_fn.training.stretches import LONGEST, Advance

PATIENCE = 0.5
"""Seconds of a member's stretch of steps beyond which the next one is shorter: a signal and the progress bar wait for
those of all members."""

MOST_PATIENCE = 2.0
"""The same of a stretch of several trainings, however many they are."""


class Progress(NamedTuple):
    """All that a run needs to go on from where it stands, next to its keys and data.

    Attributes:
        state: what the next step needs.
        pending: what the steps since the last row reported, a row of `Info`'s numbers each.
    """

    state: State
    pending: Float32[Tensor, "n fields"]


def _ends(fault: NonFiniteStep) -> NoReturn:
    raise fault


class Hooks(NamedTuple):
    """Who listens to a training, in this order.

    Attributes:
        log: `log(row)` at every row, the last of an epoch and of a training that is not finite included.
        lost: `lost(fault)` where a step gave or left something that is not finite. The training ends there; what this
            raises, by default the fault, ends the loop.
        epoch: `epoch(state, step, epoch)` at the end of an epoch.
        save: `save(progress)` where that was wanted.
    """

    log: Callable[[Row], None] = lambda row: None
    lost: Callable[[NonFiniteStep], None] = _ends
    epoch: Callable[[State, int, int], None] = lambda state, step, epoch: None
    save: Callable[[Progress], None] = lambda progress: None


class Training(NamedTuple):
    """One of the trainings that go in lock-step.

    Attributes:
        progress: where it stands, as from `begin`.
        batches: its batch of every step, on the state's device.
        hooks: who listens.
    """

    progress: Progress
    batches: Batches
    hooks: Hooks


def begin(state: State) -> Progress:
    """The progress of a run that has done nothing yet."""
    return Progress(state, torch.empty(0, len(Info._fields), device=state.step.device))


def fit(
    advance: Advance,
    trainings: Sequence[Training],
    *,
    epochs: int,
    log_every: int,
    wants: Callable[[int], bool] = lambda step: False,
    saved: Callable[[int], None] = lambda step: None,
    skipping: bool = False,
    quiet: bool = False,
) -> dict[int, State]:
    """Run the steps that are left of all epochs and return the last states of the trainings that were not lost.

    The device is waited for at rows, and where a state is wanted, alone. There everything must be finite, or a last
    row is written and the first step that was not is found by running again from the last such place.

    Args:
        advance: takes a stretch of steps, as from `one_by_one`, `compiled_stretches` or `vmapped`.
        trainings: all at the same step, with batches of the same sizes.
        epochs: passes over the data in all.
        log_every: steps per row.
        wants: whether states are to be saved after a step. It is asked ahead, and more than once.
        saved: called after all of a step were; what it raises ends the loop.
        skipping: steps that are not finite leave the state alone (`skip_nonfinite`): they are counted and go on.
        quiet: show no progress.

    Raises:
        ValueError: the trainings are not all at one step, or their batches have other sizes.
    """
    _check_lock_step(trainings)
    step, now, batches = int(trainings[0].progress.state.step), time.perf_counter(), trainings[0].batches
    steps, most = epochs * batches.per_epoch, 1
    going = {number: _Going(training, step, now, skipping) for number, training in enumerate(trainings)}

    def due(step: int) -> bool:
        return step % log_every == 0 or step % batches.per_epoch == 0

    with progress_bar(step, steps, quiet) as bar:
        while step < steps and going:
            count = next(n for n in range(1, most + 1) if n == most or due(step + n) or wants(step + n))
            began = time.perf_counter()
            states, infos = advance({number: each.state for number, each in going.items()}, step, count)
            patient = time.perf_counter() - began < min(PATIENCE * len(going), MOST_PATIENCE)
            most = min(2 * most, LONGEST) if patient else max(most // 2, 1)
            step += count
            bar.update(count)
            wanted, rows, lost = wants(step), [], []
            for (number, each), reported in zip(going.items(), infos, strict=True):
                each.take(states[number], reported)
                if not (due(step) or wanted):
                    continue
                fine = each.is_finite()
                if due(step) or not fine:
                    rows.append(each.log(step))
                if fine:
                    each.keep(step, wanted)
                else:
                    lost.append(number)
                    each.hooks.lost(first_nonfinite(advance, number, each.held, step, each.batches, skipping=skipping))
            show(bar, rows, epochs)
            going = {number: each for number, each in going.items() if number not in lost}
            if wanted and going:
                saved(step)
            if step % batches.per_epoch == 0:
                for each in going.values():
                    each.window.since = time.perf_counter()
    return {number: each.state for number, each in going.items()}


def _check_lock_step(trainings: Sequence[Training]) -> None:
    steps = dict.fromkeys(int(training.progress.state.step) for training in trainings)
    if len(steps) > 1:
        raise ValueError(
            f"trainings that advance together stand at one step, not at {' and at '.join(map(str, steps))}: begin all "
            "where they stand alike, or fit each by itself"
        )
    check_alike([training.batches for training in trainings])


class _Going:
    """A training on its way: its state, a copy of one that was checked, and the steps since the last row."""

    def __init__(self, training: Training, step: int, now: float, skipping: bool):
        progress, self.batches, self.hooks = training
        self.state, self.held = progress.state, tree.clone(progress.state)
        self.window = _Window([progress.pending], skipping, step, now)

    def take(self, state: State, infos: Tensor) -> None:
        self.state = state
        self.window.infos.append(infos)

    def is_finite(self) -> bool:
        return bool(all_finite(self.state if self.window.skipping else (self.state, self.window.stacked())))

    def log(self, step: int) -> Row:
        row = Row(step, (step - 1) // self.batches.per_epoch + 1, *self.window.close(self.batches, step))
        self.hooks.log(row)
        return row

    def keep(self, step: int, wanted: bool) -> None:
        self.held = tree.clone(self.state)
        epoch, place = divmod(step, self.batches.per_epoch)
        if place == 0:
            self.hooks.epoch(self.state, step, epoch)
        if wanted:
            self.hooks.save(Progress(self.state, self.window.stacked()))


class _Window:
    """The steps since the last row; what they report stays on the device until the row is written."""

    def __init__(self, infos: list[Tensor], skipping: bool, step: int, since: float):
        self.infos, self.skipping, self.timed_from, self.since = infos, skipping, step, since

    def stacked(self) -> Float32[Tensor, "n fields"]:
        return torch.cat(self.infos)

    def close(self, batches: Batches, step: int) -> tuple[dict[str, float], int, float]:
        stacked = self.stacked()
        reports = stacked.tolist()
        sizes = [batches.size(before) for before in range(step - len(reports), step)]
        kept = [(r, size) for r, size in zip(reports, sizes, strict=True) if not self.skipping or not _skipped(r)]
        now = time.perf_counter()
        speed = sum(batches.size(before) for before in range(self.timed_from, step)) / (now - self.since)
        self.infos, self.timed_from, self.since = [stacked.new_empty(0, len(Info._fields))], step, now
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
