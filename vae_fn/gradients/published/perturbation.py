"""Parameters beside an optimum."""

import torch

from vae_fn import random, tree
from vae_fn.random import Noise
from vae_fn.types import Key, Params


def perturb(params: Params, scale: float, key: Key) -> Params:
    """Every parameter plus normal noise of standard deviation `scale`, in float64."""
    specs = tree.map(lambda leaf: Noise(random.normal, tuple(leaf.shape)), params)
    return tree.add(params, tree.scale(random.draw(key, specs, torch.float64), scale))
