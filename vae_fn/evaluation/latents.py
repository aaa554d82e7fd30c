"""Codes and pictures: encoding and decoding many images, in chunks, with all randomness as an argument."""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import Binarisation, Split
from vae_fn.distributions import BottomUp, Distribution, Family, TopDown
from vae_fn.models import VAE
from vae_fn.types import Key, Params, Pixels, Tree

CHUNK = 1000
"""Images at a time, which bounds the memory."""


def targets(images: Pixels, protocol: Binarisation, key: Key) -> Float32[Tensor, "n d"]:
    """What the model is shown of images `(n, d)`, as `protocol.prepare` left them.

    Under `dynamic` each is binarised once, by a key of its own: what it becomes depends on its place alone.
    """
    return _in_chunks(lambda part: _targets(protocol, *part), (images, _keys(key, len(images))))


def encode(vae: VAE, params: Params, x: Float[Tensor, "n d"]) -> Distribution:
    """The posteriors q(z | x) of n images, as one distribution of batch shape (n,)."""
    return _encoded(vae, params, lambda some: some, x)


def encode_pixels(vae: VAE, params: Params, images: Pixels, protocol: Binarisation, key: Key) -> Distribution:
    """`encode(vae, params, targets(images, protocol, key))` with a chunk at a time on the device of the parameters."""
    device = tree.leaves(params)[0].device

    def shown(some: Pixels, keys: Key) -> Float32[Tensor, "n d"]:
        return _targets(protocol, some.to(device), keys.to(device))

    return _encoded(vae, params, shown, images, _keys(key, len(images)))


def decode(vae: VAE, params: Params, z: Tree) -> Float[Tensor, "n d"]:
    """The means of p(x | z) at n codes: what they look like."""
    return _in_chunks(lambda part: vae.likelihood(params, part, None).mean, z)


def layers_of(q: Distribution, z: Tree) -> tuple[Family, ...]:
    """The distribution of each layer at a value of all; of latents in one layer it is the only one."""
    return q.layers(z) if isinstance(q, BottomUp | TopDown) else (cast(Family, q),)


def usage(q: Distribution, noise: Tree) -> tuple[Float[Tensor, "..."], ...]:
    """How often each value of discrete latents is taken: the mean of each layer over the n events that the noise draws.

    The noise is `(n, *event)`, for a batch of n distributions or for one alone; each layer's mean `(*event)` is that of
    its probabilities given the layer that is drawn before it.
    """
    with torch.no_grad():
        layers = layers_of(q, q.sample(noise))
        return tuple(each.mean.expand(sample.shape).mean(0) for each, sample in zip(layers, _tuple(noise), strict=True))


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


def _encoded(vae: VAE, params: Params, shown: Callable[..., Tensor], *rows: Tensor) -> Distribution:
    """The posteriors of what is shown of rows, with each tensor in full size, also one that all images share.

    Of layers the tensors are those of the first; the parameters of the others stay one for all.
    """
    with torch.no_grad():
        one = vae.posterior(params, torch.zeros(rows[0].shape[1:], device=tree.leaves(params)[0].device), None)

    def first_of(q: Distribution) -> Distribution:
        return q.first if isinstance(q, BottomUp) else q

    def part(*some: Tensor) -> Distribution:
        x = shown(*some)
        q = first_of(vae.posterior(params, x, None))
        return tree.map(lambda leaf, like: leaf.expand(len(x), *like.shape), q, first_of(one))

    whole = _in_chunks(lambda some: part(*some), rows)
    return one._replace(first=whole) if isinstance(one, BottomUp) else whole


def _tuple(values: Tree) -> tuple[Tensor, ...]:
    return values if isinstance(values, tuple) else (values,)


def _in_chunks(fn: Callable[[Tree], Tree], rows: Tree) -> Tree:
    """The results of `fn` on a chunk of all tensors at a time, one after the other."""

    def chunk(first: int) -> Tree:
        return tree.map(lambda tensor: tensor[first : first + CHUNK], rows)

    with torch.no_grad():
        parts = [fn(chunk(first)) for first in range(0, max(len(tree.leaves(rows)[0]), 1), CHUNK)]
    return tree.map(lambda *leaves: torch.cat(leaves), *parts)
