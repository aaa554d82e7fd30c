"""A race in a folder: finished legs as they end, the one under way at every look, so that it can go on at any time.

The folder holds `race.json` (what race it is), a JSON file for each leg that has ended, and `underway.safetensors`.
"""

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from vae_fn import random, tree
from vae_fn.gradients.estimator import Evaluations
from vae_fn.lab.race import Curve, Leg, Point, Runner, Underway, run
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig
from vae_fn.run.course import Course, settings_of
from vae_fn.run.environment import differences, environment
from vae_fn.run.folder import RunError, as_json, hold, write_atomic
from vae_fn.run.interrupts import Interrupted
from vae_fn.run.sealed import BrokenError, seal, unseal

SETTINGS = "race.json"
"""The file that says what race is in a folder."""

UNDERWAY = "underway.safetensors"
"""The file of the leg that is under way."""

APART = (
    *("preset", "estimator", "samples", "learning_rate", "key", "epochs", "log_every", "runs_dir", "name"),
    *("tensorboard", "checkpoint_every", "keep_last", "keep_best", "skip_nonfinite"),
)
"""Settings of a training that are a leg's own, or that do nothing in a race."""


class Distance(NamedTuple):
    """How far every leg goes, and what is looked at.

    Attributes:
        steps: of training.
        every: steps between two looks at the bound.
        bound_samples: K of the bound; 1 is the ELBO.
    """

    steps: int
    every: int
    bound_samples: int = 1


Progress = Callable[[Leg, int], None]
"""`progress(leg, step)`: a leg has come so far."""


def legs_of(entrants: list[tuple[str, int]], rates: list[float], keys: list[int], config: TrainConfig) -> list[Leg]:
    """Every entrant at every rate and key, all entrants in turn: a change of the machine's speed meets all alike.

    Raises:
        ConfigError: a leg has settings that mean nothing.
    """
    legs = [Leg(*entrant, rate, key) for key in keys for rate in rates for entrant in entrants]
    for leg in legs:
        settings_of(leg, config)
    return legs


def race(
    legs: list[Leg], config: TrainConfig, folder: Path, distance: Distance, progress: Progress
) -> Iterator[tuple[Leg, Curve]]:
    """Run the legs that are not in the folder yet, and yield all.

    On the same machine, versions and threads a race that was stopped comes to the bits of one that was not. Legs may
    be added to a race.

    Raises:
        ConfigError: there is another race in the folder.
        UserError: a leg cannot be trained, or a file of the race is damaged.
        Interrupted: Ctrl-C; what was reached at the last look is kept.
    """
    course = Course(config, legs, distance.steps, distance.bound_samples)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder):
        _admit(folder, config, distance)
        try:
            for leg in legs:
                yield leg, _curve(leg, course, folder, distance, progress)
        except KeyboardInterrupt as fault:
            raise Interrupted(f"stopped; the same command goes on with what is in {folder}", signal.SIGINT) from fault


def _curve(leg: Leg, course: Course, folder: Path, distance: Distance, progress: Progress) -> Curve:
    file, underway = folder / f"{leg.estimator}-{leg.samples}-{leg.learning_rate}-{leg.key}.json", folder / UNDERWAY
    if file.exists():
        progress(leg, distance.steps)
        return _read(file)
    runner = course.runner(leg)

    def keep(reached: Underway) -> None:
        write_atomic(underway, seal(reached.state, {"leg": list(leg), "points": _as_lists(reached.points)}))
        progress(leg, reached.points[-1].step)

    since = _taken_up(underway, leg, runner)
    progress(leg, since.points[-1].step if since else 0)
    curve = run(runner, distance.steps, distance.every, since, keep)
    content = {"evaluations": list(curve.evaluations), "test": _finite(curve.test), "points": _as_lists(curve.points)}
    write_atomic(file, as_json(leg._asdict() | content))
    underway.unlink(missing_ok=True)
    progress(leg, distance.steps)
    return curve


def _taken_up(file: Path, leg: Leg, runner: Runner) -> Underway | None:
    """Where the leg was left, if it is the one that was under way."""

    def parse(record: Any) -> tuple[Leg, list[Point]]:
        return Leg(*record["leg"]), _as_points(record["points"])

    try:
        stored, (other, points) = unseal(file, "leg under way", parse)
    except FileNotFoundError:
        return None
    except BrokenError as fault:
        raise RunError(f"{file} {fault}: delete it to begin that leg again") from fault
    if other != leg:
        return None
    return Underway(
        tree.map(lambda leaf, like: leaf.to(like), tree.from_names(stored, runner.state), runner.state), points
    )


def _admit(folder: Path, config: TrainConfig, distance: Distance) -> None:
    """Say what race is in the folder, or see that it is this one."""
    shared = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in APART}
    now = {"settings": shared, **distance._asdict()}
    here = environment(config.device, random.GENERATOR)
    file = folder / SETTINGS
    if not file.exists():
        write_atomic(file, as_json(now | {"environment": here}))
        return
    try:
        then = json.loads(file.read_text(encoding="utf-8"))
        there, before = then.pop("environment"), then.pop("settings") | then
    except (ValueError, LookupError, AttributeError, TypeError) as fault:
        raise RunError(f"{file} is damaged: choose another --out") from fault
    for name, value in (now.pop("settings") | now).items():
        if before.get(name) != value:
            raise ConfigError(
                f"{folder} holds a race whose {name} is {before.get(name)}, not {value}: give the same settings to go "
                "on with it, or another --out"
            )
    if found := differences(there, here):
        print(f"going on, but perhaps not to the bit: {'; '.join(found)}", file=sys.stderr)


def _read(file: Path) -> Curve:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        test = math.nan if content["test"] is None else content["test"]
        return Curve(_as_points(content["points"]), Evaluations(*content["evaluations"]), test)
    except (ValueError, LookupError, TypeError) as fault:
        raise RunError(f"{file} is damaged: delete it to run that leg again") from fault


def _as_lists(points: list[Point]) -> list[list[Any]]:
    return [[point.step, point.seconds, _finite(point.bound)] for point in points]


def _as_points(lists: list[list[Any]]) -> list[Point]:
    return [Point(step, seconds, math.nan if bound is None else bound) for step, seconds, bound in lists]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
