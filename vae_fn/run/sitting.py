"""A sitting: one or several runs, which differ in what an ensemble may, trained from where they stand to their end."""

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from vae_fn.compiling import compile_epoch
from vae_fn.run.assemble import Parts
from vae_fn.run.checkpoints import Record, newest
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.config import TrainConfig
from vae_fn.run.faults import in_a_line
from vae_fn.run.folder import CHECKPOINTS, NONFINITE, RunError, saved_steps
from vae_fn.run.interrupts import Interrupted, Interrupts
from vae_fn.run.recorder import Recorder
from vae_fn.run.tensorboard import Board
from vae_fn.training.loop import Progress, Training, fit
from vae_fn.training.step import step_by_shape
from vae_fn.training.stretches import Advance, Member, compiled_stretches, one_by_one
from vae_fn.training.vmapped import vmapped


class Sitting(NamedTuple):
    """A run that this process holds and is about to train.

    Attributes:
        parts: what it is made of.
        run: its folder.
        progress: what it goes on from.
        record: where it stands.
    """

    parts: Parts
    run: Path
    progress: Progress
    record: Record


def carry_on_alone(sitting: Sitting, *, quiet: bool) -> Path:
    """Train a run to its end and return its folder.

    Raises:
        NonFiniteError: something was not finite.
        Interrupted: a signal stopped the run, which is saved.
    """
    for fault in carry_on([sitting], sitting.run, quiet=quiet).values():
        raise fault
    return sitting.run


def carry_on(sittings: Sequence[Sitting], folder: Path, *, quiet: bool) -> dict[Path, NonFiniteError]:
    """Train runs in lock-step to their end, and write their summaries.

    Args:
        sittings: all at the same step.
        folder: what to resume, if this is stopped.
        quiet: show no progress.

    Returns:
        What was not finite, by run; the others went on.

    Raises:
        Interrupted: a signal stopped the runs, which are saved.
    """
    parts, steps = sittings[0].parts, sittings[0].parts.steps
    _say_what_happens(sittings, folder, quiet)
    advance, config = advancing([each.parts for each in sittings]), parts.config
    runs = [each.run for each in sittings]
    with Interrupts() as interrupts, _saying_how_to_go_on(config, folder, runs), contextlib.ExitStack() as files:
        recorders = [_recorder(sitting, files) for sitting in sittings]

        def wants(step: int) -> bool:
            every, ends = config.checkpoint_every, step % parts.batches.per_epoch == 0
            return interrupts.asked() or ends or (every > 0 and step % every == 0)

        def saved(step: int) -> None:
            if interrupts.received is not None and step < steps:
                where = newest(folder) if runs == [folder] else folder
                advice = f"go on with --resume {folder}"
                raise Interrupted(f"stopped at step {step} of {steps}, saved in {where}; {advice}", interrupts.received)

        states = fit(
            advance,
            [Training(s.progress, s.parts.batches, r.hooks()) for s, r in zip(sittings, recorders, strict=True)],
            epochs=config.epochs,
            log_every=config.log_every,
            wants=wants,
            saved=saved,
            skipping=config.skip_nonfinite,
            quiet=quiet,
        )
        for number, state in states.items():
            recorders[number].finish(state)
    return {recorder.run: recorder.fault for recorder in recorders if recorder.fault is not None}


def advancing(members: Sequence[Parts]) -> Advance:
    """How runs take their steps: on a CPU in turn, many steps in a call; elsewhere all runs at once.

    Those in micro-batches go in turn everywhere, as `torch.vmap` does not take their loop (torch 2.14).
    """
    config, family, own = members[0].config, members[0].family, [parts.member for parts in members]
    if not config.compile:
        return one_by_one([step_by_shape(parts.algorithm) for parts in members], own)
    if config.device == "cpu" or len(members) == 1 or config.microbatch:
        return compiled_stretches(family, own, cuda_graph=config.cuda_graph)
    return vmapped(family, _alike(own), compile_epoch, config.cuda_graph)


def last_common_step(runs: Sequence[Path]) -> int:
    """The newest step of which all runs have a checkpoint, 0 without one."""
    return max(set.intersection(*(set(saved_steps(run / CHECKPOINTS)) for run in runs)), default=0)


def was_lost(run: Path) -> bool:
    """Whether a step since the newest checkpoint of a run was not finite."""
    done = max(saved_steps(run / CHECKPOINTS), default=0)
    return any(step > done for step in saved_steps(run / NONFINITE))


def _alike(members: Sequence[Member]) -> list[Member]:
    """The members with values of one structure: a weight of the KL for those too in which it is the number 1."""
    weights = [member.values["beta"] for member in members if "beta" in member.values]
    one = {"beta": torch.ones_like(weights[0])} if weights else {}
    return [member._replace(values=member.values | one | member.values) for member in members]


def _recorder(sitting: Sitting, files: contextlib.ExitStack) -> Recorder:
    parts, run, _, record = sitting
    metrics = files.enter_context((run / "metrics.jsonl").open("a", encoding="utf-8", buffering=1))
    board = None
    if parts.config.tensorboard:
        board = files.enter_context(Board(run / "tensorboard", parts, record.step))
    return Recorder(parts, run, record, metrics, board)


def _say_what_happens(sittings: Sequence[Sitting], folder: Path, quiet: bool) -> None:
    """Say on stderr, before the first silence, where the runs go and what takes so long."""
    if quiet:
        return
    step, parts = sittings[0].record.step, sittings[0].parts
    several = f" {len(sittings)} members" if len(sittings) > 1 else ""
    where = f"going on in {folder} after step {step} of {parts.steps}" if step else f"training{several} in {folder}"
    compiling = "; compiling the step takes half a minute the first time" if parts.config.compile else ""
    print(where + compiling, file=sys.stderr)


@contextlib.contextmanager
def _saying_how_to_go_on(config: TrainConfig, folder: Path, runs: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        raise RunError(f"{where}{fault.strerror}: mend that, then {_how_to_go_on(folder, runs)}") from fault
    except (RuntimeError, MemoryError) as fault:
        line = in_a_line(fault, config, _how_to_go_on(folder, runs))
        if line is None:
            raise
        raise RunError(line) from fault
    except KeyboardInterrupt as fault:
        raise Interrupted(f"stopped at once; {_how_to_go_on(folder, runs)}", signal.SIGINT) from fault


def _how_to_go_on(folder: Path, runs: Sequence[Path]) -> str:
    going = [run for run in runs if not was_lost(run)] or runs
    return f"go on from step {last_common_step(going)} with --resume {folder}"
