"""The global generators, watched while other people's code runs, and put back."""

import pickle
import random as python_random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch


class Generator(NamedTuple):
    """A global generator: how its state is read, and put back."""

    read: Callable[[], Any]
    put_back: Callable[[Any], None]


GENERATORS = {
    "torch": Generator(torch.get_rng_state, torch.set_rng_state),
    "numpy": Generator(np.random.get_state, np.random.set_state),
    "Python": Generator(python_random.getstate, python_random.setstate),
}


@contextmanager
def watched_generators() -> Iterator[list[str]]:
    """Gives a list that holds, once the block has ended, the names of the generators that were used in it."""
    before, used = {name: generator.read() for name, generator in GENERATORS.items()}, []
    try:
        yield used
    finally:
        for name, generator in GENERATORS.items():
            if _bytes(generator.read()) != _bytes(before[name]):
                used.append(name)
                generator.put_back(before[name])


def _bytes(state: Any) -> bytes:
    return state.numpy().tobytes() if isinstance(state, torch.Tensor) else pickle.dumps(state)
