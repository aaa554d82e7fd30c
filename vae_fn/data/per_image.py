"""Images one by one through torchvision's transforms, for augmentation; the fast path keeps the whole set in memory.

`TO_ROW` makes an image what `scale` makes a row of a split, bit for bit, and pickles. Use it as the last transform:

    from torchvision.transforms import v2
    from vae_fn.data.per_image import TO_ROW, PerImage, render

    augment = v2.Compose([v2.RandomAffine(10, translate=(0.1, 0.1)), TO_ROW])
    images = PerImage(dataset.train, dataset.shape, augment)

`images` goes into a `DataLoader` (give it a `generator`: without one it draws from torch's global generator), whose
batches are float32 rows in [0, 1]. But transforms in Python cost more than a training step. An augmented set gets back
into the fast path when they run over it once, and the result is a split like any other:

    dataset = dataset._replace(train=render(images, seed=0))

torchvision's own `ToDtype(torch.float32, scale=True)` multiplies by 1 / 255 where `scale` divides by 255: they differ
in the last bit at 126 of the 256 levels. Nothing is subtracted here: to centre the pixels is the encoder's business.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.utils import data
from torchvision.transforms import v2

from vae_fn.data.arrays import Named, Part, make_split
from vae_fn.data.dataset import Split, scale
from vae_fn.types import Pixels, Shape


class ToRow(nn.Module):
    """From an image, uint8 or float32, to its float32 row in [0, 1]."""

    def forward(self, image: Pixels) -> Float32[Tensor, " d"]:
        """Scale and flatten."""
        return scale(image).flatten()


TO_ROW = v2.Compose([v2.ToImage(), ToRow()])
"""From a PIL image, an array (h, w, c) or a tensor (c, h, w) to the float32 row `(c * h * w,)` in [0, 1]."""


class PerImage(data.Dataset[Float32[Tensor, " d"]]):
    """The images of a split, each made a row by a transform when it is asked for.

    Args:
        split: The images; their labels stay where they are, in the same order.
        shape: The shape of one image, (h, w) or (c, h, w).
        transform: From a tensor (c, h, w) of the split's dtype, with c = 1 for (h, w), to a row.

    Raises:
        ValueError: If `shape` is not that of an image, or not that of the rows.
    """

    def __init__(self, split: Split, shape: Shape, transform: Callable[[Any], Tensor] = TO_ROW):
        width = split.images.shape[1]
        if len(shape) not in (2, 3) or math.prod(shape) != width:
            raise ValueError(f"rows of {width} pixels as images (h, w) or (c, h, w), got the shape {shape}")
        self.split, self.transform = split, transform
        self.images = split.images.reshape(-1, *(1, *shape)[-3:])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Float32[Tensor, " d"]:
        return self.transform(self.images[index])


def render(images: PerImage, seed: int) -> Split:
    """Every image through its transform once: a split of float32 rows with the labels as they were.

    torchvision draws from torch's global generator; it is seeded for this alone, and left as it was found.

    Raises:
        DataError: If the transform leaves [0, 1], or makes numbers that are not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        rows = torch.stack([images[index] for index in range(len(images))])
    split, _ = make_split(Part(Named("the rendered images", rows.numpy()), None))
    return split._replace(labels=images.split.labels)
