"""A training run, from its settings to a folder with everything that it was and gave."""

import contextlib
import json
import math
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vae_fn import random, tree
from vae_fn.compiling import compile_step, used_gemm
from vae_fn.run.assemble import Parts, assemble, checksum
from vae_fn.run.checkpoints import Record, checkpoints
from vae_fn.run.clinic import NonFiniteError, admit
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.environment import environment
from vae_fn.run.faults import in_a_line
from vae_fn.run.folder import RunError, create_run, hold, write_atomic
from vae_fn.run.interrupts import Interrupted, Interrupts
from vae_fn.run.metrics import with_nonfinite
from vae_fn.run.recorder import Recorder
from vae_fn.run.tensorboard import Board
from vae_fn.training.loop import Progress, begin, fit
from vae_fn.training.nonfinite import NonFiniteStep
from vae_fn.training.step import Batch, State, step_by_shape
from vae_fn.training.stretches import Advance, compiled_stretches, one_by_one


def train(config: TrainConfig, *, overwrite: bool = False, quiet: bool = False) -> Path:
    """Train as configured and return the run's folder.

    Everything that a user can have got wrong is found before the folder is made.

    Args:
        config: the settings.
        overwrite: delete an earlier run of the same name first.
        quiet: show no progress.

    Raises:
        UserError: a device, data set or folder cannot be used, or something is not finite.
        Interrupted: a signal stopped the run, which is saved.
    """
    parts = assemble(config)
    state, record = initial_state(parts), beginning(parts)
    files = {"config.toml": record.config, "environment.json": as_json(record.environment)}
    if overwrite and Path(config.data).is_relative_to((config.runs_dir / config.run_name).absolute()):
        raise RunError(f"{config.data} lies in the run that --overwrite deletes: move it, or choose another --name")
    run = create_run(config.runs_dir, config.run_name, files, overwrite)
    with hold(run):
        if (run / "config.toml").read_text(encoding="utf-8") != record.config:
            raise RunError(f"{run} was replaced by another process meanwhile: choose another --name")
        return carry_on(parts, run, begin(state), record, quiet=quiet)


def initial_state(parts: Parts) -> State:
    """The state before the first step."""
    example = Batch(parts.dataset.train.images[: parts.config.batch_size])
    return parts.algorithm.init(parts.streams.init, example)


def advancing(parts: Parts) -> Advance:
    """How the run takes its steps: on a CPU many in a call; elsewhere, where the loop was never tried, one."""
    if parts.config.compile and parts.config.device == "cpu":
        return compiled_stretches(parts.algorithm, parts.batches, parts.streams)
    step = step_by_shape(parts.algorithm, compile_step) if parts.config.compile else step_by_shape(parts.algorithm)
    return one_by_one(step, parts.batches, parts.streams)


def beginning(parts: Parts) -> Record:
    """Where a run stands before its first step, and what it depends on."""
    config = parts.config
    products = used_gemm() if config.compile and config.device == "cpu" else "torch"
    here = environment(config.device, random.GENERATOR) | {"compile": config.compile, "gemm": products}
    return Record(0, 0, 0, 0, 0.0, 0, None, to_toml(config), here, checksum(parts.dataset), list(parts.dataset.shape))


def carry_on(parts: Parts, run: Path, progress: Progress, record: Record, *, quiet: bool) -> Path:
    """Train a run, which stands at `record`, to its end and write its summary."""
    config = parts.config
    _say_what_happens(parts, run, record.step, quiet)
    advance = advancing(parts)
    with (
        Interrupts() as interrupts,
        _saying_how_to_go_on(config, run),
        (run / "metrics.jsonl").open("a", encoding="utf-8", buffering=1) as metrics,
        Board(run / "tensorboard", parts, record.step) if config.tensorboard else contextlib.nullcontext() as board,
    ):
        recorder = Recorder(parts, run, record, metrics, board, interrupts)
        try:
            state = fit(
                advance,
                progress,
                parts.batches,
                epochs=config.epochs,
                log_every=config.log_every,
                hooks=recorder.hooks(),
                skipping=config.skip_nonfinite,
                quiet=quiet,
            )
        except NonFiniteStep as fault:
            raise admit(parts, run, fault) from fault
        test = recorder.test(state.params)
        summary = {
            "parameters": tree.size(state.params),
            "steps": parts.steps,
            "seconds": recorder.seconds(),
            "skipped": recorder.record.skipped,
            "test": with_nonfinite(test._asdict()),
        }
        write_atomic(run / "summary.json", as_json(summary))
    if not math.isfinite(test.elbo):
        raise NonFiniteError(f"the test ELBO is not finite: try a smaller --learning-rate (the run is in {run})")
    return run


def _say_what_happens(parts: Parts, run: Path, step: int, quiet: bool) -> None:
    """Say on stderr, before the first silence, where the run goes and what takes so long."""
    if quiet:
        return
    where = f"going on in {run} after step {step} of {parts.steps}" if step else f"training in {run}"
    compiling = "; compiling the step takes a minute the first time" if parts.config.compile else ""
    print(where + compiling, file=sys.stderr)


@contextlib.contextmanager
def _saying_how_to_go_on(config: TrainConfig, run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        raise RunError(f"{where}{fault.strerror}: mend that, then {_how_to_go_on(run)}") from fault
    except (RuntimeError, MemoryError) as fault:
        line = in_a_line(fault, config, _how_to_go_on(run))
        if line is None:
            raise
        raise RunError(line) from fault
    except KeyboardInterrupt as fault:
        raise Interrupted(f"stopped at once; {_how_to_go_on(run)}", signal.SIGINT) from fault


def _how_to_go_on(run: Path) -> str:
    steps = [str(int(path.stem.removeprefix("step-"))) for path in checkpoints(run)[:1]]
    return f"go on from step {' '.join(steps) or '0'} with --resume {run}"


def as_json(content: dict[str, Any]) -> str:
    """JSON for people to read, and for machines."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
