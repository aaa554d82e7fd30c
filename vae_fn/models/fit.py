"""Whether pixels are what a model reads: looked at once, where data and model meet, never in a step."""

from typing import Any

import torch

from vae_fn import random, tree
from vae_fn.data.binarise import Binarisation
from vae_fn.data.pixels import check_levels, check_prepared, check_unit
from vae_fn.distributions import Bernoulli
from vae_fn.models.precision import wide
from vae_fn.models.vae import VAE
from vae_fn.types import Context, Params, Pixels


def check_data(what: str, vae: VAE, params: Params, pixels: Pixels, context: Context, protocol: Binarisation) -> None:
    """Check that a model reads rows of pixels, as `check_rows` lets pass; on shapes alone where there are no values.

    Args:
        what: what errors call them.
        vae: the model.
        params: its parameters.
        pixels: the pixels.
        context: what the model is conditioned on.
        protocol: how pixels become targets.

    Raises:
        DataError: their values are not what is read; that floats are in [0, 1] is asked for where the
            likelihood is a Bernoulli or the protocol binarises.
        ShapeError: they have another width than the model, as `build` makes it.
    """
    bits = _gives_bits(vae, params, pixels, context)
    if not tree.has_values(pixels):
        return
    check_levels(what, pixels)
    if bits or protocol.binary:
        check_unit(what, pixels)
    check_prepared(what, pixels, protocol)


def check_density(who: str, vae: VAE, params: Params, pixels: Pixels, context: Context, protocol: Binarisation) -> None:
    """Check that p(x | z) is a density or a mass of the targets, by which samples can be weighed; on shapes alone.

    Args:
        who: what weighs samples by it.
        vae: the model.
        params: its parameters.
        pixels: as `check_data` lets pass.
        context: what the model is conditioned on.
        protocol: how pixels become targets.

    Raises:
        ValueError: the targets are grey and the likelihood is a Bernoulli, which has masses for 0 and 1 alone.
    """
    if not protocol.binary and _gives_bits(vae, params, pixels, context):
        raise ValueError(
            f"{who} weighs samples by p(x | z), which grey pixels under a Bernoulli do not have: "
            "use data.DYNAMIC or data.FIXED"
        )


def _gives_bits(vae: VAE, params: Params, pixels: Pixels, context: Context) -> bool:
    """Whether the likelihood is a Bernoulli, from shapes alone."""
    device = tree.leaves(params)[0].device

    def likelihood() -> Any:
        q = vae.posterior(params, torch.zeros(pixels.shape, dtype=wide(params), device=device), context)
        z = q.sample(random.draw(random.key(0, device), q.noise_like((1,))))
        return vae.likelihood(params, z, context)

    return isinstance(tree.shapes_of(likelihood), Bernoulli)
