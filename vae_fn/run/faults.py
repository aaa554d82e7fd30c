"""What a machine lacks for a training step, known by the words of torch, and what to do about it."""

from vae_fn.errors import lacks_memory
from vae_fn.run.cache import VARIABLE, unwritable
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig
from vae_fn.run.estimators import TRAITS


def in_a_line(fault: BaseException, config: TrainConfig, go_on: str) -> str | None:
    """A fault of a run's step, and what to do about it; None for a fault of the program.

    Args:
        fault: what a step raised.
        config: the settings of the run.
        go_on: how the run is taken up: a sentence to which options can be added.
    """
    if lacks_memory(fault):
        return f"the step does not fit into memory: {_smaller(config, go_on)}"
    match type(fault).__name__:  # classes that only exist where something is compiled
        case "CaptureError":
            return f"{fault.args[0]}; {go_on} --no-cuda-graph"
        case "InductorError":
            plain = "--no-compile" + " --no-cuda-graph" * config.cuda_graph
            return f"the step cannot be compiled ({str(fault).splitlines()[0]}); {go_on} {plain}"
    return None


def check_cache(config: TrainConfig) -> None:
    """See that torch can keep what it compiles.

    Raises:
        ConfigError: it cannot.
    """
    if config.compile and (place := unwritable()):
        raise ConfigError(
            f"what is compiled cannot be kept in {place}: name another folder in {VARIABLE}, or use --no-compile"
        )


def _smaller(config: TrainConfig, go_on: str) -> str:
    anew = "train anew with a smaller --batch-size or fewer --samples"
    size = min(config.microbatch or config.batch_size, config.batch_size)
    if size == 1 or TRAITS[config.estimator].stateful:
        return anew
    without = " --no-cuda-graph" * config.cuda_graph  # which takes no slices
    return f"{go_on} --microbatch {max(1, size // 4)}{without}, or {anew}"
