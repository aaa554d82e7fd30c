"""Data sets of random pixels, from a seed of their own."""

import torch

from vae_fn.data import Dataset, Split


def pixels_from(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def dataset(seed: int, n: int = 50, d: int = 7) -> Dataset:
    splits = [Split(pixels_from(seed + i, n + i, d), torch.arange(n + i)) for i in range(3)]
    return Dataset(*splits, (d,))
