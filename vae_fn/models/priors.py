"""Priors p(z) of one latent: the standard normal, and heads at raw outputs that are fixed or learned."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_fn.distributions import Family, Normal
from vae_fn.models.heads import Head
from vae_fn.types import Key


class Prior(NamedTuple):
    """A distribution over latents as a function of its own parameters, of which it may have none.

    Attributes:
        init: its parameters from a key, an empty dict if it has none.
        apply: the distribution, batch shape (), from its parameters and a tensor whose device it takes, and whose dtype
            or a wider one.
    """

    init: Callable[[Key], dict[str, Tensor]]
    apply: Callable[[dict[str, Tensor], Tensor], Family]


def normal(latent_dim: int) -> Prior:
    """N(0, I) over `latent_dim` dimensions."""
    return Prior(lambda key: {}, lambda params, like: standard_normal(latent_dim, like))


def learned(head: Head) -> Callable[[int], Prior]:
    """A head at learned raw outputs, zero at first: for bits and classes their logits, which start uniform."""

    def prior(latent_dim: int) -> Prior:
        width = head.width(latent_dim)
        return Prior(
            lambda key: {"raw": torch.zeros(width, device=key.device)}, lambda params, like: head.apply(params["raw"])
        )

    return prior


def uniform(head: Head) -> Callable[[int], Prior]:
    """A head at raw outputs of zero: for bits and classes all equally likely."""

    def prior(latent_dim: int) -> Prior:
        width = head.width(latent_dim)
        return Prior(lambda key: {}, lambda params, like: head.apply(like.new_zeros(width)))

    return prior


def standard_normal(latent_dim: int, like: Tensor) -> Normal:
    """N(0, I) over `latent_dim` dimensions, batch shape (), with the device of `like` and its dtype or wider."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    loc = torch.zeros(latent_dim, dtype=dtype, device=like.device)
    return Normal(loc, torch.ones_like(loc))
