"""A variational autoencoder is a pytree of parameters and four pure functions."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_fn import random, tree
from vae_fn.distributions import Distribution, Family
from vae_fn.errors import check_count, check_kind, described
from vae_fn.models import heads, priors
from vae_fn.models.heads import Head
from vae_fn.models.networks import Network, ShapeError, network
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
        TypeError: a part is not what it must be, such as a function that was not called.
        ImpureModuleError, UnknownLayerError: a module cannot be made a pure function; see `network`.
        ShapeError: a network gives another number of outputs than its head reads; from the model, its data have another
            width.
        ValueError: a width is not positive, or a decoder of logits ends in a sigmoid.
    """
    check_count("data_dim", data_dim)
    check_count("latent_dim", latent_dim)
    check_kind("posterior", posterior, Head, "take one of models.heads, such as heads.normal")
    check_kind(
        "likelihood", likelihood, Head, "take one of models.heads, such as heads.bernoulli, or heads.fixed_normal(0.1)"
    )
    latent_shape, law = event_shape(posterior, latent_dim), _prior_of(prior, latent_dim)
    encode = _as_network(f"the encoder (data_dim={data_dim})", encoder, (data_dim,))
    decode = _as_network(f"the decoder (latent_dim={latent_dim})", decoder, latent_shape)
    if likelihood is heads.bernoulli:
        _refuse_sigmoid(decoder)
    check_width("encoder", encode, (data_dim,), posterior.width(latent_dim))
    check_width("decoder", decode, latent_shape, likelihood.width(data_dim))

    def init(key: Key) -> Params:
        networks = {"encoder": encode.init(random.fold_in(key, 0)), "decoder": decode.init(random.fold_in(key, 1))}
        learned = law.init(random.fold_in(key, 2))
        return networks | {"prior": learned} if learned else networks

    return VAE(
        init=init,
        posterior=lambda params, x, context: posterior.apply(
            encode.apply(_checked(params)["encoder"], _data(x, data_dim))
        ),
        prior=lambda params, context: law.apply(params.get("prior", {}), tree.leaves(params)[0]),
        likelihood=lambda params, z, context: likelihood.apply(decode.apply(_checked(params)["decoder"], z)),
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
    check_kind(f"what the {name} gives", raw, Tensor, "one tensor of raw outputs, which its head splits")
    if tuple(raw.shape) != (2, expected):
        raise ShapeError(
            f"the {name} maps inputs (batch, {', '.join(map(str, input_shape))}) to {('batch', *raw.shape[1:])}, but "
            f"its head reads {expected} outputs: make its last layer give (batch, {expected})"
        )


def _as_network(called: str, part: nn.Module | Network, input_shape: Shape) -> Network:
    if isinstance(part, nn.Module):
        return network(part, input_shape, called)
    if not isinstance(part, Network):
        raise TypeError(f"{called} must be an nn.Module or a models.Network(init, apply), not {described(part)}")
    return part


def _prior_of(prior: Callable[[int], Prior], latent_dim: int) -> Prior:
    instead = "give a function of latent_dim such as models.priors.normal, or priors.learned(head)"
    if not callable(prior):
        raise TypeError(f"prior must be a function, not {described(prior)}: {instead}")
    law = prior(latent_dim)
    check_kind("prior(latent_dim)", law, Prior, instead)
    return law


def _refuse_sigmoid(decoder: nn.Module | Network) -> None:
    """Refuse probabilities where the head reads logits."""
    last = decoder
    while isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    if isinstance(last, nn.Sigmoid):
        raise ValueError("the decoder ends in a Sigmoid, and heads.bernoulli reads logits: leave that layer out")


def _checked(params: Params) -> Params:
    check_kind("params", params, Mapping, "pass what vae.init gives, or state.params")
    return params


def _data(x: Float[Tensor, "*b d"], data_dim: int) -> Float[Tensor, "*b d"]:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(
            f"data must be a tensor of floats in [0, 1], not {described(x)}: data.scale makes them of uint8"
        )
    if x.shape[-1:] != (data_dim,):
        raise ShapeError(
            f"the data have shape {tuple(x.shape)}, and the model reads (*batch, {data_dim}): build it with "
            "data_dim of the data's width, or flatten images into rows"
        )
    return x
