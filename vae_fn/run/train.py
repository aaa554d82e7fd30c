"""A training run, from its settings to a folder with everything that it was and gave."""

import json
import math
import time
from pathlib import Path
from typing import Any

from vae_fn import random, tree
from vae_fn.data import Binarisation, Dataset, batch_slices
from vae_fn.errors import UserError
from vae_fn.evaluation.elbo import Evaluation, evaluate_elbo
from vae_fn.models import VAE
from vae_fn.random import Streams
from vae_fn.run.assemble import check_device, make_algorithm, make_data, make_model, make_streams
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.folder import create_run, environment, metrics_row, with_nonfinite, write_atomic
from vae_fn.run.parameters import save_parameters
from vae_fn.training.compiling import compile_step
from vae_fn.training.loop import Hooks, Row, fit
from vae_fn.training.step import Batch, State, step_by_shape
from vae_fn.types import Params

PARAMETERS = Path("checkpoints") / "final.safetensors"


class NonFiniteError(UserError):
    """Training has left the numbers."""


def train(config: TrainConfig) -> Path:
    """Train as configured and return the run's folder.

    Everything that a user can have got wrong is found before the folder is made.

    Raises:
        UserError: a device, data set or folder cannot be used, or the loss is not finite.
    """
    check_device(config)
    dataset, protocol = make_data(config)
    vae, streams = make_model(config), make_streams(config)
    steps = config.epochs * len(batch_slices(len(dataset.train.images), config.batch_size))
    algorithm = make_algorithm(config, vae, protocol, steps)
    state = algorithm.init(streams.init, Batch(dataset.train.images[: config.batch_size]))

    folder = create_run(config.runs_dir, config.run_name, config.overwrite)
    write_atomic(folder / "config.toml", to_toml(config))
    write_atomic(folder / "environment.json", _json(environment(config.device, random.GENERATOR)))
    start = time.perf_counter()
    with (folder / "metrics.jsonl").open("a", encoding="utf-8", buffering=1) as metrics:
        recorder = _Recorder(config, vae, dataset, protocol, streams, metrics, start)
        state = fit(
            step_by_shape(algorithm, compile_step) if config.compile else step_by_shape(algorithm),
            state,
            dataset.train.images,
            streams,
            epochs=config.epochs,
            batch_size=config.batch_size,
            log_every=config.log_every,
            hooks=Hooks(recorder.log, recorder.epoch),
        )
    (folder / PARAMETERS).parent.mkdir()
    save_parameters(folder / PARAMETERS, state.params)
    test = recorder.test(state.params)
    summary = {
        "parameters": tree.size(state.params),
        "steps": steps,
        "seconds": time.perf_counter() - start,
        "test": with_nonfinite(test._asdict()),
    }
    write_atomic(folder / "summary.json", _json(summary))
    if not math.isfinite(test.elbo):
        raise NonFiniteError(f"the test ELBO is not finite: try a smaller --learning-rate (the run is in {folder})")
    return folder


class _Recorder:
    """Writes the rows of `metrics.jsonl`, and stops a run whose loss is not finite."""

    def __init__(
        self,
        config: TrainConfig,
        vae: VAE,
        dataset: Dataset,
        protocol: Binarisation,
        streams: Streams,
        metrics: Any,
        start: float,
    ):
        self.config, self.vae, self.dataset, self.protocol = config, vae, dataset, protocol
        self.streams, self.metrics, self.start = streams, metrics, start

    def log(self, row: Row) -> None:
        """A row of training."""
        self._write(split="train", **row._asdict() | row.info)
        for name in ("loss", "grad_norm"):
            if not math.isfinite(row.info[name]):
                raise NonFiniteError(
                    f"{name} is not finite at or before step {row.step}: try a smaller --learning-rate "
                    f"(rows up to there are in {self.metrics.name}; --overwrite replaces them)"
                )

    def epoch(self, state: State, step: int, epoch: int) -> None:
        """A row of evaluation with one noise draw: on held-out images, or as in the tutorial on the test images."""
        split = "validation" if self.dataset.validation else "test"
        images = (self.dataset.validation or self.dataset.test).images
        result = self._evaluate(state.params, images, key=epoch, draws=1)
        terms = {"elbo": result.elbo, "reconstruction": result.reconstruction, "kl": result.kl}
        self._write(step=step, epoch=epoch, split=split, seconds=time.perf_counter() - self.start, **terms)

    def test(self, params: Params) -> Evaluation:
        """The result of the run; `vae_fn.run.evaluate` repeats it."""
        return self._evaluate(params, self.dataset.test.images, key=0, draws=self.config.evaluation_draws)

    def _evaluate(self, params: Params, images: Any, key: int, draws: int) -> Evaluation:
        stream = random.fold_in(self.streams.evaluation, key)
        return evaluate_elbo(self.vae, params, images, self.protocol, stream, draws=draws)

    def _write(self, **values: Any) -> None:
        values.pop("info", None)
        self.metrics.write(metrics_row(protocol=self.protocol.name, **values) + "\n")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
