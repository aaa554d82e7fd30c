"""Going on with a run that was stopped, bit for bit as if it had not been."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from vae_fn import random, tree
from vae_fn.run.assemble import Parts, assemble
from vae_fn.run.checkpoints import Record, checkpoints, forget_after, read_checkpoint
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig, from_toml, to_toml
from vae_fn.run.environment import differences
from vae_fn.run.folder import NONFINITE, RunError, hold, read_config, run_of, saved_steps, sweep, write_atomic
from vae_fn.run.metrics import keep_rows
from vae_fn.run.sitting import Sitting, carry_on_alone
from vae_fn.run.train import beginning, initial_state
from vae_fn.training.loop import Progress, begin

FREE = (
    *("data", "tensorboard", "checkpoint_every", "keep_last", "keep_best"),
    *("microbatch", "compile", "cuda_graph", "device"),
)
"""Settings that may differ in a resumed run: `data` may lie elsewhere, for its checksum is compared; the last four
may change the numbers by rounding, as another program runs."""


def resume(place: Path, config: TrainConfig, *, exact: bool = False, quiet: bool = False) -> Path:
    """Go on with a run from its newest checkpoint, or from its beginning if it has none, and return its folder.

    On the same machine, versions, threads, generator and options the run ends with the bits of one that was not
    stopped. A difference in these is one line on stderr, and so is a step that lies ahead and was not finite.

    Args:
        place: the run's folder, or one of its checkpoints to go on from.
        config: the run's settings; a constant schedule allows more epochs.
        exact: refuse to go on where the environment differs.
        quiet: show no progress.

    Raises:
        UserError: the run cannot be resumed; nothing has been changed.
        Interrupted: a signal stopped the run, which is saved.
    """
    run = run_of(place)
    with hold(run):
        check_settings(run, read_config(run), config)
        path = place if place != run else next(iter(checkpoints(run)), None)
        sitting = take_up(assemble(config), run, path)
        parts, record = sitting.parts, sitting.record
        if record.step >= parts.steps and (run / "summary.json").exists():
            raise RunError(f"{run} is finished: see it with `vae-fn evaluate {run}`, or train on with more --epochs")
        check_environments([sitting], exact)
        return carry_on_alone(go_back(sitting), quiet=quiet)


def take_up(parts: Parts, run: Path, path: Path | None) -> Sitting:
    """A run as it stood at a checkpoint, or at its beginning for None; nothing is changed.

    Raises:
        UserError: the checkpoint is damaged, or of other settings.
    """
    sitting = Sitting(parts, run, *_restore(parts, run, path))
    check_settings(run, from_toml(sitting.record.config), parts.config)
    return sitting


def go_back(sitting: Sitting) -> Sitting:
    """Take back what a run wrote after it stood as it is taken up, and give it its settings."""
    parts, run, _, record = sitting
    _say_what_was_lost(run, record.step)
    forget_after(run, record.step)
    sweep(run)
    keep_rows(run / "metrics.jsonl", record.rows)
    (run / "summary.json").unlink(missing_ok=True)
    write_atomic(run / "config.toml", to_toml(parts.config))
    return sitting._replace(record=record._replace(config=to_toml(parts.config)))


def check_environments(sittings: Sequence[Sitting], exact: bool) -> None:
    """See that runs go on where they began; a difference is one line on stderr, or with `exact` an error.

    Raises:
        RunError: images or generator are others.
    """
    said = [_differences(each.run, each.record, beginning(each.parts)) for each in sittings]
    for found in dict.fromkeys(filter(None, said)):
        if exact:
            raise RunError(f"not exact: {found}: restore that, or leave --exact out")
        print(f"resumed, but perhaps not to the bit: {found}", file=sys.stderr)


def _restore(parts: Parts, run: Path, path: Path | None) -> tuple[Progress, Record]:
    if path is None:
        return begin(initial_state(parts)), beginning(parts)
    shapes = tree.shapes_of(lambda: begin(initial_state(parts)))
    like = shapes._asdict() | {"key": random.key(0)}
    stored, record = read_checkpoint(path, like)
    if stored["key"].tolist() != random.key(parts.config.key).tolist():
        raise RunError(f"{path} has another key than config.toml: restore that file")
    stored = tree.map(lambda leaf: leaf.to(parts.config.device), stored)
    return Progress(stored["state"], stored["pending"]), record


def check_settings(run: Path, old: TrainConfig, new: TrainConfig) -> None:
    """See that a run keeps its settings.

    Raises:
        ConfigError: it does not.
    """
    for field in fields(TrainConfig):
        before, now = getattr(old, field.name), getattr(new, field.name)
        longer = field.name == "epochs" and now > before and new.schedule == "constant"
        if before != now and field.name not in FREE and not longer:
            option = "--" + field.name.replace("_", "-")
            before, now = (_shown(getattr(config, field.name)) for config in (old, new))
            raise ConfigError(
                f"{option} is {before} in {run} and {now} here: a resumed run keeps its settings; "
                f"leave {option} out, or start a new run under another --name"
            )


def _shown(value: Any) -> str:
    """A setting in words: a name that is not given and a switch have no value on the command line."""
    if isinstance(value, bool | None):
        return {True: "on", False: "off", None: "not given"}[value]
    return str(value)


def _differences(run: Path, then: Record, now: Record) -> str:
    if then.data != now.data:
        raise RunError(f"the images are not those that {run} was trained on: restore the data, or train again")
    if then.environment["generator"] != now.environment["generator"]:
        raise RunError(
            f"{run} drew its random numbers with {then.environment['generator']}, here there is "
            f"{now.environment['generator']}: resume it with torch {then.environment['torch']}, as it was made"
        )
    return "; ".join(differences(then.environment, now.environment))


def _say_what_was_lost(run: Path, done: int) -> None:
    if ahead := [step for step in saved_steps(run / NONFINITE) if step > done]:
        step = min(ahead)
        print(f"step {step} was not finite: `vae-fn replay {run} --step {step}` takes it apart", file=sys.stderr)
