"""Codes and pictures: encoding and decoding many images, in chunks, with all randomness as an argument."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import Binarisation, Split
from vae_fn.distributions import Distribution
from vae_fn.models import VAE
from vae_fn.types import Key, Params, Pixels, Shape, Tree

CHUNK = 1000
"""Images at a time, which bounds the memory."""


def targets(images: Pixels, protocol: Binarisation, key: Key) -> Float32[Tensor, "n d"]:
    """What the model is shown of images `(n, d)`, as `protocol.prepare` left them.

    Under `dynamic` each is binarised once, by a key of its own: what it becomes depends on its place alone.
    """
    return _in_chunks(lambda *part: _targets(protocol, *part), images, _keys(key, len(images)))


def encode(vae: VAE, params: Params, x: Float[Tensor, "n d"]) -> Distribution:
    """The posteriors q(z | x) of n images, as one distribution of batch shape (n,)."""
    return _in_chunks(_full_posterior(vae, params, x.shape[1:]), x)


def encode_pixels(vae: VAE, params: Params, images: Pixels, protocol: Binarisation, key: Key) -> Distribution:
    """`encode(vae, params, targets(images, protocol, key))` with a chunk at a time on the device of the parameters."""
    device = tree.leaves(params)[0].device
    posterior = _full_posterior(vae, params, images.shape[1:])
    return _in_chunks(
        lambda some, keys: posterior(_targets(protocol, some.to(device), keys.to(device))),
        images,
        _keys(key, len(images)),
    )


def decode(vae: VAE, params: Params, z: Float[Tensor, "n z"]) -> Float[Tensor, "n d"]:
    """The means of p(x | z): what a code looks like."""
    return _in_chunks(lambda part: vae.likelihood(params, part, None).mean, z)


def spread(split: Split, count: int) -> Int64[Tensor, " count"]:
    """The places of the first images of every class in turn; without classes, the first images. At most all."""
    n = len(split.images)
    if split.labels is None:
        return torch.arange(min(count, n))
    labels, order = split.labels.cpu().sort(stable=True)
    turn = torch.arange(n) - torch.searchsorted(labels, labels)
    return order[turn.argsort(stable=True)[:count]]


def _keys(key: Key, count: int) -> Shaped[Tensor, "n 2"]:
    """A key for each image; the generator refuses to split into none."""
    return random.split(key, max(count, 1))[:count]


def _targets(protocol: Binarisation, images: Pixels, keys: Key) -> Float32[Tensor, "n d"]:
    return protocol.apply(images, random.draw(keys, protocol.noise_like(tuple(images.shape[1:]))))


def _full_posterior(vae: VAE, params: Params, shape: Shape) -> Callable[[Float[Tensor, "n d"]], Distribution]:
    """The posteriors of images of a shape, with each tensor in full size, also one that all images share."""
    one = tree.shapes_of(lambda: vae.posterior(params, torch.zeros(shape, device=tree.leaves(params)[0].device), None))

    def posterior(x: Float[Tensor, "n d"]) -> Distribution:
        return tree.map(lambda leaf, like: leaf.expand(len(x), *like.shape), vae.posterior(params, x, None), one)

    return posterior


def _in_chunks(fn: Callable[..., Tree], *rows: Tensor) -> Tree:
    with torch.no_grad():
        parts = [fn(*part) for part in zip(*(tensor.split(CHUNK) for tensor in rows), strict=True)]
    return tree.map(lambda *leaves: torch.cat(leaves), *parts)
