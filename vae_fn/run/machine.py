"""Whether this machine has what a run needs: a device, a compiler."""

import os
import shutil
import sys

import torch

from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig


def check_device(config: TrainConfig) -> None:
    """Touch the device, before anything is written.

    Raises:
        ConfigError: torch cannot use it.
    """
    try:
        torch.zeros(1, device=config.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--device {config.device!r} cannot be used here ({reason}): use another --device, such as cpu"
        ) from error


def check_compiler(config: TrainConfig) -> None:
    """Look for the C++ compiler that a compiled step needs on a CPU.

    Raises:
        ConfigError: it is not there.
    """
    if config.compile and config.device == "cpu" and compiler() is None:
        raise ConfigError(
            f"the step cannot be compiled here, as there is no C++ compiler {_compiler_name()!r}: "
            "install g++, or name yours in CXX, or use --no-compile"
        )


def compiler() -> str | None:
    """The path of the C++ compiler that compiled code on a CPU needs; None without one."""
    return shutil.which(_compiler_name().partition(" ")[0])


def _compiler_name() -> str:
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
