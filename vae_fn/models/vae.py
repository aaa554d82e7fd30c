"""A variational autoencoder is a pytree of parameters and four pure functions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_fn import random, tree
from vae_fn.distributions import Distribution, Family, Normal
from vae_fn.models import heads
from vae_fn.models.heads import Head
from vae_fn.models.networks import Network, network
from vae_fn.types import Context, Key, Params, Tree


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
) -> VAE:
    """The VAE of an encoder, a decoder and the standard normal prior.

    Args:
        encoder: from data `(batch, data_dim)` to the raw outputs of the posterior's head.
        decoder: from latents `(batch, latent_dim)` to the raw outputs of the likelihood's head.
        data_dim: numbers in one datum.
        latent_dim: numbers in one latent vector.
        posterior: reads the encoder; the default takes `2 * latent_dim` outputs.
        likelihood: reads the decoder; the default takes `data_dim` logits.

    Raises:
        ImpureModuleError, UnknownLayerError: a module cannot be made a pure function; see `network`.
        ShapeError: a network gives another number of outputs than its head reads.
    """
    encode = _as_network(encoder, data_dim)
    decode = _as_network(decoder, latent_dim)
    _check_width("encoder", encode, data_dim, posterior.width(latent_dim))
    _check_width("decoder", decode, latent_dim, likelihood.width(data_dim))
    return VAE(
        init=lambda key: {
            "encoder": encode.init(random.fold_in(key, 0)),
            "decoder": decode.init(random.fold_in(key, 1)),
        },
        posterior=lambda params, x, context: posterior.apply(encode.apply(params["encoder"], x)),
        prior=lambda params, context: standard_normal(latent_dim, like=tree.leaves(params)[0]),
        likelihood=lambda params, z, context: likelihood.apply(decode.apply(params["decoder"], z)),
    )


def standard_normal(latent_dim: int, like: Tensor) -> Normal:
    """N(0, I) over `latent_dim` dimensions, batch shape (), with the device of `like` and its dtype or wider."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    loc = torch.zeros(latent_dim, dtype=dtype, device=like.device)
    return Normal(loc, torch.ones_like(loc))


def _as_network(part: nn.Module | Network, input_dim: int) -> Network:
    return network(part, (input_dim,)) if isinstance(part, nn.Module) else part


def _check_width(name: str, part: Network, input_dim: int, expected: int) -> None:
    raw = tree.shapes_of(lambda: part.apply(part.init(random.key(0)), torch.zeros(2, input_dim)))
    if tuple(raw.shape) != (2, expected):
        raise ShapeError(
            f"the {name} maps inputs (batch, {input_dim}) to {('batch', *raw.shape[1:])}, but its head reads "
            f"{expected} outputs: make its last layer give (batch, {expected})"
        )
