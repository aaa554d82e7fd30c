"""Keys hashed from what is tested, the stage and an epoch: nobody can choose a seed, and every run can be repeated."""

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.types import Key, Tree

EPOCH = "VAE_FN_EPOCH"
"""The environment variable that moves all keys on: a date, for nightly runs."""


def epoch() -> str:
    """The epoch of this process; "0" unless the environment says otherwise."""
    return os.environ.get(EPOCH, "0")


def key_of(name: str, what: Tree, stage: str) -> Key:
    """The key of a stage of a check: BLAKE2b of its name, the numbers that are tested, the stage, and the epoch.

    The numbers are part of it so that every example of a property has draws of its own. They count in float32: the last
    bits of an integral differ between machines, and a replay must not.
    """
    digest = hashlib.blake2b(digest_size=8)
    for word in (name, stage, epoch()):
        digest.update(f"{len(word)}:{word}".encode())
    for path, leaf in tree.flat_names(what).items():
        digest.update(path.encode())
        digest.update(_bytes(leaf))
    return random.key(int.from_bytes(digest.digest(), "big"))


def seed_of(key: Key) -> int:
    """A seed in [0, 2**64) for a generator of another kind: BLAKE2b of the key."""
    return int.from_bytes(hashlib.blake2b(key.cpu().numpy().tobytes(), digest_size=8).digest(), "big")


def name_of(fn: Callable, name: str | None) -> str:
    """The label of a check: the given one, or where the function is defined."""
    if name is not None:
        return name
    inner = getattr(fn, "func", fn)  # functools.partial
    return f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def replay_line() -> str:
    """The command that runs what is running now again, with the same keys."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    words = ["pytest", _without_group(test)] if test else _command()
    return f"{EPOCH}={shlex.quote(epoch())} {shlex.join(words)}"


def _without_group(test: str) -> str:
    """A test's name without the `@group` that a worker of pytest-xdist adds to it (--dist loadgroup)."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return test
    return re.sub(r"(::\w+(\[.*\])?)@.*$", r"\1", test, flags=re.DOTALL)


def _command() -> list[str]:
    """The words of this process's command: an installed command by its name, a file or a module by Python."""
    program = sys.argv[0]
    if program.endswith(".py") and os.path.basename(program) != "__main__.py":
        return ["python", *sys.argv]
    if program in ("", "-c", "-m") or program.endswith(".py"):
        return ["python", *sys.orig_argv[1:]]
    return [os.path.basename(program), *sys.argv[1:]]


def _bytes(leaf: Tensor) -> bytes:
    leaf = torch.view_as_real(leaf.resolve_conj()) if leaf.is_complex() else leaf
    return (leaf.detach().cpu().float() + 0.0).contiguous().numpy().tobytes()  # -0.0 is 0.0
