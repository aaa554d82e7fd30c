"""A variational autoencoder is a pytree of parameters and four pure functions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_fn import random, tree
from vae_fn.distributions import Distribution, Family
from vae_fn.models import heads, priors
from vae_fn.models.heads import Head
from vae_fn.models.networks import Network, network
from vae_fn.models.priors import Prior
from vae_fn.types import Context, Key, Params, Shape, Tree


class VAE(NamedTuple):
    """The four functions that everything else is written against (Kingma & Welling 2013).

    Data are vectors `(*batch, data_dim)` in [0, 1], latents `(*batch, latent_dim)`, or a tuple of several layers'; all
    four take any batch shape.
    """

    init: Callable[[Key], Params]
    posterior: Callable[[Params, Float[Tensor, "*b d"], Context], Distribution]
    prior: Callable[[Params, Context], Distribution]
    likelihood: Callable[[Params, Tree, Context], Family]


class ShapeError(ValueError):
    """A network's output does not fit the head that reads it."""


def build(
    encoder: nn.Module | Network,
    decoder: nn.Module | Network,
    *,
    data_dim: int,
    latent_dim: int,
    posterior: Head = heads.normal,
    likelihood: Head = heads.bernoulli,
    prior: Callable[[int], Prior] = priors.normal,
) -> VAE:
    """The VAE of an encoder, a decoder and a prior, the standard normal by default.

    Args:
        encoder: from data `(batch, data_dim)` to the raw outputs of the posterior's head.
        decoder: from latents `(batch, *event)` to the raw outputs of the likelihood's head; the event is
            `(latent_dim,)`, or `(latent_dim, classes)` of one-hot latents.
        data_dim: numbers in one datum.
        latent_dim: numbers in one latent vector, or one-hot variables.
        posterior: reads the encoder; the default takes `2 * latent_dim` outputs.
        likelihood: reads the decoder; the default takes `data_dim` logits.
        prior: over `latent_dim` dimensions; what it learns is under "prior".

    Raises:
        ImpureModuleError, UnknownLayerError: a module cannot be made a pure function; see `network`.
        ShapeError: a network gives another number of outputs than its head reads.
    """
    latent_shape = event_shape(posterior, latent_dim)
    encode, decode, law = _as_network(encoder, (data_dim,)), _as_network(decoder, latent_shape), prior(latent_dim)
    check_width("encoder", encode, (data_dim,), posterior.width(latent_dim))
    check_width("decoder", decode, latent_shape, likelihood.width(data_dim))

    def init(key: Key) -> Params:
        networks = {"encoder": encode.init(random.fold_in(key, 0)), "decoder": decode.init(random.fold_in(key, 1))}
        learned = law.init(random.fold_in(key, 2))
        return networks | {"prior": learned} if learned else networks

    return VAE(
        init=init,
        posterior=lambda params, x, context: posterior.apply(encode.apply(params["encoder"], x)),
        prior=lambda params, context: law.apply(params.get("prior", {}), tree.leaves(params)[0]),
        likelihood=lambda params, z, context: likelihood.apply(decode.apply(params["decoder"], z)),
    )


def event_shape(head: Head, latent_dim: int) -> Shape:
    """The shape of one value of what a head makes."""
    return head.apply(torch.zeros(head.width(latent_dim))).noise_like().shape


def check_width(name: str, part: Network, input_shape: Shape, expected: int) -> None:
    """Hold what a network gives against what its head reads, on shapes alone.

    Raises:
        ShapeError: they differ.
    """
    raw = tree.shapes_of(lambda: part.apply(part.init(random.key(0)), torch.zeros(2, *input_shape)))
    if tuple(raw.shape) != (2, expected):
        raise ShapeError(
            f"the {name} maps inputs (batch, {', '.join(map(str, input_shape))}) to {('batch', *raw.shape[1:])}, but "
            f"its head reads {expected} outputs: make its last layer give (batch, {expected})"
        )


def _as_network(part: nn.Module | Network, input_shape: Shape) -> Network:
    return network(part, input_shape) if isinstance(part, nn.Module) else part
