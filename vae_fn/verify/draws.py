"""Black boxes of other people's making: functions of noise, and code that uses a global generator."""

import functools
import inspect
import random as python_random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from vae_fn import random
from vae_fn.gradients.oracles.nodes import specification
from vae_fn.random import Noise
from vae_fn.types import Key, Tree
from vae_fn.verify.sample import Draw
from vae_fn.verify.seeds import seed_of

CHUNK = 4096
"""Draws at a time."""


def draws_of(fn: Callable[[Tree], Tree], noise: int | Tree, dtype: torch.dtype = torch.float32) -> Draw:
    """The black box of a pure function of one draw of noise, vmapped over draws.

    Args:
        fn: to a tensor or a pytree.
        noise: what it takes: a tree of `random.Noise`, or a number d for d standard normals.
        dtype: of the noise.
    """
    specs = specification(noise)

    @functools.wraps(fn)
    def draw(key: Key, count: int) -> Tree:
        batched = pytree.tree_map(lambda spec: Noise(spec.law, (count, *spec.shape)), specs)
        return torch.vmap(fn, chunk_size=CHUNK)(random.draw(key, batched, dtype))

    return draw


def seeded(fn: Callable[..., Any]) -> Draw:
    """The black box of ordinary code that draws from a global generator, or from a `torch.Generator`.

    Args:
        fn: `fn(n)` for n independent draws, `fn()` for one (it is then called n times), either with an argument
            `generator` if it takes one. Without, torch's, numpy's and Python's global generators are seeded for the
            call, on the CPU, and put back afterwards.

    Raises:
        TypeError: `fn` takes other arguments.
    """
    named = inspect.signature(fn).parameters.values()
    wanted = [p.name for p in named if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_generator = any(p.name == "generator" for p in named)
    counts = [name for name in wanted if name != "generator"]
    if len(counts) > 1:
        raise TypeError(
            f"{fn} takes {', '.join(wanted)}: give a function of n, of nothing, or of those and a generator"
        )

    @functools.wraps(fn)
    def draw(key: Key, count: int) -> Tree:
        seed = seed_of(key)
        with _global_generators(seed):
            rest = {"generator": torch.Generator().manual_seed(seed)} if takes_generator else {}
            if counts:
                return fn(count, **rest)
            single = [fn(**rest) for _ in range(count)]
            return pytree.tree_map(lambda *leaves: torch.stack([torch.as_tensor(leaf) for leaf in leaves]), *single)

    return draw


@contextmanager
def _global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python, and put them back."""
    numpy_state, python_state = np.random.get_state(), python_random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        python_random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            python_random.setstate(python_state)
