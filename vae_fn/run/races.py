"""A race from settings and files: its legs are trainings as `vae-fn train` does them, kept one by one."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from vae_fn import random
from vae_fn.evaluation import evaluate_elbo
from vae_fn.gradients.estimator import Evaluations
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.lab.race import Curve, Leg, Point, Runner, run
from vae_fn.run.assemble import assemble
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.folder import write_atomic
from vae_fn.run.train import as_json, initial_state
from vae_fn.training.compiling import compile_step
from vae_fn.training.step import State, step_by_shape
from vae_fn.types import Params

SETTINGS = "race.json"
"""The file that says what race is in a folder."""


def settings_of(leg: Leg, config: TrainConfig) -> TrainConfig:
    """The settings of a leg's training."""
    return replace(
        config, estimator=leg.estimator, samples=leg.samples, learning_rate=leg.learning_rate, key=leg.key
    )  # fmt: skip


def legs_of(entrants: list[tuple[str, int]], rates: list[float], keys: list[int], config: TrainConfig) -> list[Leg]:
    """Every entrant at every rate and key, in an order in which a race that is stopped has seen all entrants alike.

    Raises:
        ConfigError: a leg has settings that mean nothing.
    """
    legs = [Leg(*entrant, rate, key) for key in keys for rate in rates for entrant in entrants]
    for leg in legs:
        settings_of(leg, config)
    return legs


def race(
    legs: list[Leg], config: TrainConfig, folder: Path, steps: int, every: int, progress: Callable[[Leg, int], None]
) -> Iterator[tuple[Leg, Curve]]:
    """Run the legs that are not in the folder yet, and yield all.

    Raises:
        ConfigError: there is another race in the folder.
        UserError: a leg cannot be trained.
    """
    _admit(folder, config, steps, every)
    for leg in legs:
        file = folder / f"{leg.estimator}-{leg.samples}-{leg.learning_rate!r}-{leg.key}.json"
        if file.exists():
            curve = _read(file)
            progress(leg, steps)
        else:
            curve = run(_runner(settings_of(leg, config)), steps, every, lambda n, leg=leg: progress(leg, n))
            _write(file, leg, curve)
        yield leg, curve


def _runner(config: TrainConfig) -> Runner:
    parts = assemble(config)
    held_out = parts.dataset.validation
    if held_out is None:
        raise ConfigError("a race is judged on held-out images: use --held-out 5000 or another number")
    advance = step_by_shape(parts.algorithm, compile_step if config.compile else lambda step: step)

    def step(state: State, number: int) -> State:
        return advance(state, parts.batches(number), parts.streams)[0]

    def bound(params: Params) -> float:
        key = random.fold_in(parts.streams.evaluation, 0)
        return evaluate_elbo(parts.vae, params, held_out.images, parts.protocol, key, draws=1).elbo

    estimator = CATALOGUE[config.estimator].make()
    state = initial_state(parts)
    q = parts.vae.posterior(state.params, parts.dataset.train.images[:1].float(), None)
    return Runner(state, step, bound, estimator.evaluations(q, config.samples))


def _admit(folder: Path, config: TrainConfig, steps: int, every: int) -> None:
    """Say what race is in the folder, or see that it is this one."""
    neutral = replace(config, estimator="rloo", samples=2, learning_rate=1.0, weight_decay=0.0, key=0)
    said = {"config": to_toml(neutral), "weight_decay": config.weight_decay, "steps": steps, "every": every}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != said:
        raise ConfigError(f"{folder} holds a race with other settings: give the same ones to go on, or another --out")
    write_atomic(file, as_json(said))


def _write(file: Path, leg: Leg, curve: Curve) -> None:
    points = [[p.step, p.seconds, p.bound if math.isfinite(p.bound) else None] for p in curve.points]
    write_atomic(file, as_json({**leg._asdict(), "evaluations": list(curve.evaluations), "points": points}))


def _read(file: Path) -> Curve:
    content = json.loads(file.read_text(encoding="utf-8"))
    points = [Point(step, seconds, math.nan if bound is None else bound) for step, seconds, bound in content["points"]]
    return Curve(points, Evaluations(*content["evaluations"]))
