"""From pixel intensities to the targets of a Bernoulli likelihood: three protocols, and what a likelihood means.

With p = pixel / 255, or the pixel itself where it is a float, the Bernoulli log-likelihood log p(x | z) is linear in x,
hence

    log p(p | z) = E_{x ~ Bernoulli(p)} log p(x | z)    for every z.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from vae_fn import random
from vae_fn.data.dataset import Dataset, Split, scale
from vae_fn.types import Key, Pixels, Shape, Tree


class Binarisation(NamedTuple):
    """A protocol by which pixels become targets.

    Attributes:
        name: What a reported likelihood calls the protocol.
        binary: Whether targets are 0 or 1 alone, as importance-sampled and exact likelihoods demand.
        prepare: `(dataset, key) -> dataset`, once, before training.
        noise_like: The noise that `apply` takes for pixels of a shape, as a pytree of specifications; `{}` if none.
        apply: `(pixels, noise) -> targets` in [0, 1], pure, inside the step.
    """

    name: str
    binary: bool
    prepare: Callable[[Dataset, Key], Dataset]
    noise_like: Callable[[Shape], Tree]
    apply: Callable[[Pixels, Tree], Float32[Tensor, "*b d"]]


def binarisation(name: str) -> Binarisation:
    """The protocol called `name`.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in _PROTOCOLS:
        raise ValueError(f"no binarisation is called {name!r}: choose one of {', '.join(_PROTOCOLS)}")
    return _PROTOCOLS[name]


def bernoulli(pixels: Pixels, uniform: Float[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """1 where `uniform`, in the open interval (0, 1), lies below the scaled pixel, else 0: white is always 1."""
    return (uniform < scale(pixels)).to(torch.float32)


def binarise_once(dataset: Dataset, key: Key) -> Dataset:
    """The data set with every pixel drawn to 0 or 255, with probabilities 1 - p and p; float pixels become uint8 too.

    Each split has its own key, and each image its own by its place in the split: what becomes of an image does not
    depend on the images beside it. Prepare before holding out, and it does not depend on what is held out either.
    Images that are binary already stay as they are.
    """
    train_key, validation_key, test_key = random.split(key, 3)
    return dataset._replace(
        train=_binarise_split(dataset.train, train_key),
        validation=dataset.validation and _binarise_split(dataset.validation, validation_key),
        test=_binarise_split(dataset.test, test_key),
    )


def _binarise_split(split: Split, key: Key) -> Split:
    images, width = split.images, split.images.shape[-1]
    chunks = zip(images.split(_CHUNK), random.split(key, len(images)).split(_CHUNK), strict=True)
    drawn = [255 * bernoulli(rows, random.uniform(keys, (width,))).to(torch.uint8) for rows, keys in chunks]
    return split._replace(images=torch.cat(drawn))


_CHUNK = 4096  # images drawn at a time, which bounds the memory for their noise


def _unchanged(dataset: Dataset, key: Key) -> Dataset:
    return dataset


def _no_noise(shape: Shape) -> Tree:
    return {}


def _uniform_noise(shape: Shape) -> Tree:
    return random.Noise(random.uniform, shape)


def _scaled(pixels: Pixels, noise: Tree) -> Float32[Tensor, "..."]:
    return scale(pixels)


GREY = Binarisation("grey", False, _unchanged, _no_noise, _scaled)
"""Intensities themselves are the targets, p(p | z).

Its ELBO, with a posterior q(z | p), is the mean over x ~ Bernoulli(p) of the ELBO of x under that posterior: a lower
bound on the mean log-likelihood of dynamically binarised images. It is no density on [0, 1], so an importance-sampled
or exact likelihood has no meaning here, and the number is not comparable with those on binarised MNIST.
"""

DYNAMIC = Binarisation("dynamic", True, _unchanged, _uniform_noise, bernoulli)
"""Targets x ~ Bernoulli(p), drawn afresh at every step (Burda et al. 2016, "Importance Weighted Autoencoders").

A likelihood is that of binary images, averaged over the draws of each image; every kind of it has a meaning.
"""

FIXED = Binarisation("fixed", True, binarise_once, _no_noise, _scaled)
"""Targets x ~ Bernoulli(p), drawn once from a stated key (Salakhutdinov & Murray 2008, "On the Quantitative Analysis of
Deep Belief Networks").

A likelihood is that of these binary images, and every kind of it has a meaning. The images follow the law of the
published fixed binarisations but are not the same draws.
"""

_PROTOCOLS = {protocol.name: protocol for protocol in (GREY, DYNAMIC, FIXED)}
