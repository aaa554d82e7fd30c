"""The ELBO of a data set: every example weighs the same, and the noise does not depend on how the data are cut."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import Binarisation
from vae_fn.distributions import has_closed_form
from vae_fn.models import VAE
from vae_fn.models.objectives import elbo, elbo_sampled
from vae_fn.types import Key, Params


class Evaluation(NamedTuple):
    """Means over a data set in nats per example; `elbo = reconstruction - kl`.

    `protocol` names what the targets are (`grey`, `dynamic`, `fixed`). `se_noise` is the part of the ELBO's standard
    error that comes from the noise draws, None where there is one draw.
    """

    elbo: float
    reconstruction: float
    kl: float
    protocol: str
    examples: int
    draws: int
    se_noise: float | None


def evaluate_elbo(
    vae: VAE,
    params: Params,
    images: UInt8[Tensor, "n d"],
    binarisation: Binarisation,
    key: Key,
    *,
    draws: int,
    chunk: int = 500,
) -> Evaluation:
    """The ELBO with its terms, averaged over examples and over `draws` noise draws for each.

    Each example has its own key, so that the noise is the same for every `chunk` of examples; a chunk and a draw at a
    time bound the memory. Under `dynamic` each example is binarised once. The KL is the closed form where there is one.

    Raises:
        ValueError: no examples, or no draws.
    """
    if len(images) < 1 or draws < 1:
        raise ValueError(f"an evaluation needs examples and draws, got {len(images)} examples and {draws} draws")
    noise_keys, target_keys = (random.split(k, len(images)) for k in random.split(key, 2))
    with torch.no_grad():
        parts = [
            _terms(vae, params, *part, binarisation, draws)
            for part in zip(images.split(chunk), noise_keys.split(chunk), target_keys.split(chunk), strict=True)
        ]
    reconstruction, kl, variance = torch.cat(parts, 1).mean(1).tolist()
    se_noise = math.sqrt(variance / (draws * len(images))) if draws > 1 else None
    return Evaluation(reconstruction - kl, reconstruction, kl, binarisation.name, len(images), draws, se_noise)


def _terms(
    vae: VAE,
    params: Params,
    pixels: UInt8[Tensor, "b d"],
    noise_keys: Key,
    target_keys: Key,
    binarisation: Binarisation,
    draws: int,
) -> Float64[Tensor, "3 b"]:
    """Reconstruction, KL and the variance of one draw of the ELBO, for each example."""
    wide = torch.promote_types(tree.leaves(params)[0].dtype, torch.float32)
    targets = binarisation.apply(pixels, random.draw(target_keys, binarisation.noise_like(tuple(pixels.shape[1:]))))
    x = targets.to(wide)
    example = tree.shapes_of(vae.posterior, params, x[0], None)
    noise = random.draw(noise_keys, example.noise_like((draws,))).movedim(1, 0)
    objective = elbo if has_closed_form(example, vae.prior(params, None)) else elbo_sampled
    single = [objective(vae, params, x, one) for one in noise.split(1)]
    reconstruction = torch.stack([terms.reconstruction for terms in single]).double()
    kl = torch.stack([terms.kl for terms in single]).double()
    variance = (reconstruction - kl).var(0) if draws > 1 else torch.zeros_like(kl[0])
    return torch.stack([reconstruction.mean(0), kl.mean(0), variance])
