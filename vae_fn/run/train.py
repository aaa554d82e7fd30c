"""A training run, from its settings to a folder with everything that it was and gave."""

from pathlib import Path

from vae_fn import random
from vae_fn.compiling import used_gemm
from vae_fn.run.assemble import Parts, assemble, checksum
from vae_fn.run.checkpoints import Record
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.environment import environment
from vae_fn.run.folder import RunError, as_json, create_run, hold
from vae_fn.run.sitting import Sitting, carry_on_alone
from vae_fn.training.loop import begin
from vae_fn.training.step import Batch, State


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
    files = first_files(record)
    if overwrite:
        check_overwritten(config.data, config.runs_dir / config.run_name)
    run = create_run(config.runs_dir, config.run_name, files, overwrite)
    with hold(run):
        if (run / "config.toml").read_text(encoding="utf-8") != record.config:
            raise RunError(f"{run} was replaced by another process meanwhile: choose another --name")
        return carry_on_alone(Sitting(parts, run, begin(state), record), quiet=quiet)


def check_overwritten(data: str, folder: Path) -> None:
    """See that the images are not in a folder that is about to be deleted, whatever links lead to either.

    Raises:
        RunError: they are.
    """
    file = Path(data)
    if file.is_relative_to(folder.absolute()) or (file.exists() and file.resolve().is_relative_to(folder.resolve())):
        raise RunError(f"{data} lies in the run that --overwrite deletes: move it, or choose another --name")


def first_files(record: Record) -> dict[str, str]:
    """The files that make a folder a run, by name."""
    return {"config.toml": record.config, "environment.json": as_json(record.environment)}


def initial_state(parts: Parts) -> State:
    """The state before the first step."""
    example = Batch(parts.dataset.train.images[: parts.config.batch_size])
    return parts.algorithm.init(parts.streams.init, example)


def beginning(parts: Parts) -> Record:
    """Where a run stands before its first step, and what it depends on."""
    config = parts.config
    products = used_gemm() if config.compile and config.device == "cpu" else "torch"
    way = "cuda_graph" if config.cuda_graph else config.compile
    here = environment(config.device, random.GENERATOR) | {"compile": way, "gemm": products}
    return Record(0, 0, 0, 0, 0.0, 0, None, to_toml(config), here, checksum(parts.dataset), list(parts.dataset.shape))
