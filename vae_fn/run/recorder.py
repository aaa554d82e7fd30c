"""What a run writes while it trains: rows of metrics, TensorBoard, checkpoints."""

import math
import os
import time
from pathlib import Path
from typing import Any, TextIO

import torch

from vae_fn import random, tree
from vae_fn.evaluation.elbo import Evaluation, evaluate_elbo
from vae_fn.run.assemble import Parts
from vae_fn.run.checkpoints import Record, save_checkpoint
from vae_fn.run.clinic import NonFiniteError, admit
from vae_fn.run.folder import as_json, write_atomic
from vae_fn.run.metrics import metrics_row, with_nonfinite
from vae_fn.run.tensorboard import Board
from vae_fn.training.bar import Row
from vae_fn.training.loop import Hooks, Progress
from vae_fn.training.nonfinite import NonFiniteStep
from vae_fn.training.step import State
from vae_fn.types import Params

TERMS = ("elbo", "reconstruction", "kl", "kl_by_dimension")
"""What a row of evaluation reports."""


class Recorder:
    """Listens to the training loop.

    Attributes:
        record: where the run stood at the last checkpoint, or what it started from.
        fault: what was not finite, None so far.
    """

    def __init__(self, parts: Parts, run: Path, record: Record, metrics: TextIO, board: Board | None):
        """Listen to a run that stands at `record`.

        Args:
            parts: what the run is made of.
            run: its folder.
            record: where it stands.
            metrics: the open `metrics.jsonl`, at its end.
            board: TensorBoard's files, or None for no such.
        """
        self.parts, self.run, self.record = parts, run, record
        self.fault: NonFiniteError | None = None
        self._metrics, self._board = metrics, board
        self._start = time.perf_counter() - record.seconds
        self._best = False  # whether the epoch that ends here has the best validation ELBO

    def hooks(self) -> Hooks:
        """The loop's hooks."""
        return Hooks(self._log, self._lost, self._epoch, self._save)

    def seconds(self) -> float:
        """Seconds spent on the run, in all its sittings."""
        return time.perf_counter() - self._start

    def test(self, params: Params) -> Evaluation:
        """The result of the run; `vae_fn.run.evaluate` repeats it."""
        return self._evaluate(params, self.parts.dataset.test.images, 0, self.parts.config.evaluation_draws)

    def finish(self, state: State) -> None:
        """Evaluate the run at its end and write its summary."""
        test = self.test(state.params)
        summary = {
            "parameters": tree.size(state.params),
            "steps": self.parts.steps,
            "seconds": self.seconds(),
            "skipped": self.record.skipped,
            "test": with_nonfinite(test._asdict()),
        }
        write_atomic(self.run / "summary.json", as_json(summary))
        if not math.isfinite(test.elbo):
            advice = f"try a smaller --learning-rate (the run is in {self.run})"
            self.fault = NonFiniteError(f"the test ELBO is not finite: {advice}")

    def _lost(self, fault: NonFiniteStep) -> None:
        self.fault = admit(self.parts, self.run, fault)

    def _log(self, row: Row) -> None:
        self.record = self.record._replace(skipped=self.record.skipped + row.skipped)
        before = torch.tensor(row.step - 1, device=self.parts.config.device)
        weight = self.parts.beta(before).item()
        rate = self.parts.learning_rate(before - self.record.skipped).item()  # a skipped step is no update
        self._write(
            step=row.step,
            epoch=row.epoch,
            split="train",
            learning_rate=rate,
            beta=weight,
            skipped=row.skipped,
            examples_per_second=row.examples_per_second,
            **row.info,
        )

    def _epoch(self, state: State, step: int, epoch: int) -> None:
        """Evaluate with one noise draw: on held-out images, or as in the tutorial on the test images."""
        validation = self.parts.dataset.validation
        result = self._evaluate(state.params, (validation or self.parts.dataset.test).images, epoch, draws=1)
        terms = {name: getattr(result, name) for name in TERMS}
        self._write(step=step, epoch=epoch, split="validation" if validation else "test", **terms)
        best = self.record.best_elbo
        better = best is None or result.elbo > best
        self._best = validation is not None and math.isfinite(result.elbo) and better
        if self._best:
            self.record = self.record._replace(best_elbo=result.elbo)
        if self._board:
            self._board.pictures(state.params, step)

    def _save(self, progress: Progress) -> None:
        step = int(progress.state.step)
        epoch, batch = divmod(step, self.parts.batches.per_epoch)
        self.record = self.record._replace(step=step, epoch=epoch, batch=batch, seconds=self.seconds())
        os.fsync(self._metrics.fileno())
        config = self.parts.config
        tensors = progress._asdict() | {"key": random.key(config.key)}
        best = self._best and config.keep_best
        save_checkpoint(self.run, tensors, self.record, keep_last=config.keep_last, best=best)
        self._best = False

    def _evaluate(self, params: Params, images: Any, key: int, draws: int) -> Evaluation:
        stream = random.fold_in(self.parts.streams.evaluation, key)
        return evaluate_elbo(self.parts.vae, params, images, self.parts.protocol, stream, draws=draws)

    def _write(self, **values: Any) -> None:
        self._metrics.write(
            metrics_row(protocol=self.parts.protocol.name, seconds=self.seconds(), **values) + "\n",
        )
        self.record = self.record._replace(rows=self.record.rows + 1)
        if self._board:
            self._board.scalars(values)
