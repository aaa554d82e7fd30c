"""Black boxes of known mean, for the tests of the sampled tiers."""

import torch
from torch import Tensor

from vae_fn import random, tree


def normal_box(mean, scale=1.0, dtype=torch.float64):
    """Draws `mean + scale * noise` with noise of its own for every leaf of `mean`."""

    def draw(key, count):
        noise = random.draw(key, tree.map(lambda leaf: random.Noise(random.normal, (count, *leaf.shape)), mean), dtype)
        return tree.map(lambda leaf, e: leaf.to(dtype) + scale * e, mean, noise)

    return draw


def array_box(array: Tensor):
    """Serves the rows of an array, one after the other, whatever the keys."""
    served = 0

    def draw(key, count):
        nonlocal served
        served += count
        return array[served - count : served]

    return draw


def counting(draw):
    """The same box, and a list of how many draws each call asked for."""
    asked = []

    def counted(key, count):
        asked.append(count)
        return draw(key, count)

    return counted, asked
