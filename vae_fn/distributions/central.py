"""One value that stands for a distribution, where the mean need not be a value at all."""

import torch

from vae_fn import random, tree
from vae_fn.distributions.protocol import Distribution
from vae_fn.random import Noise
from vae_fn.types import Tree


def central(q: Distribution) -> Tree:
    """The value at the middle of the noise, shape `(*batch, *event)`.

    Of a location-scale family this is the location; of bits and classes the most probable ones; of layers each layer's,
    given the one before.
    """
    like = tree.leaves(q)[0]

    def middle(spec: Noise) -> torch.Tensor:
        return torch.full(spec.shape, 0.5 if spec.law is random.uniform else 0.0, dtype=like.dtype, device=like.device)

    return q.sample(tree.map(middle, q.noise_like()))
