"""What a run's numbers depend on besides its settings."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INCIDENTAL = ("command",)
"""What an environment says that no number depends on."""


def environment(device: str, generator: str) -> dict[str, Any]:
    """Describe what a run's numbers depend on besides its settings.

    Args:
        device: The torch device of the run.
        generator: Name of the random number generator in use.
    """
    import torch

    processor = _processor()
    return {
        "python": platform.python_version(),
        "vae_fn": _version("vae-fn"),
        "torch": torch.__version__,
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "processor": processor,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else processor,
        "threads": torch.get_num_threads(),
        "generator": generator,
        "git": _checkout(Path(__file__).parent),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, in what two environments differ that numbers depend on."""
    return [
        f"{name} was {_short(then.get(name))} and is {_short(value)}"
        for name, value in now.items()
        if name not in INCIDENTAL and then.get(name) != value
    ]


def _short(value: Any) -> str:
    return (
        str(value.get("commit", value))[:12] + ("+" if value.get("dirty") else "")
        if isinstance(value, dict)
        else str(value)
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _checkout(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that a package's folder belongs to, and whether it has been changed; None without one."""

    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", folder, *args], check=True, capture_output=True, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", ".")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
