"""The ELBO of a data set: every example weighs the same, and the noise does not depend on how the data are cut."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import Binarisation
from vae_fn.data.pixels import check_levels, check_prepared, check_protocol, check_rows
from vae_fn.distributions import Distribution, NoClosedFormError, has_closed_form, kl, kl_by_dimension, log_ratio
from vae_fn.errors import check_count, check_kind
from vae_fn.models import VAE
from vae_fn.models.fit import check_data
from vae_fn.models.objectives import forward
from vae_fn.models.precision import wide
from vae_fn.types import Key, Params, Pixels, Tree


class Evaluation(NamedTuple):
    """Means over a data set in nats per example; `elbo = reconstruction - kl`.

    `protocol` names what the targets are (`grey`, `dynamic`, `fixed`). `se_noise` is the part of the ELBO's standard
    error that comes from the noise draws, None where there is one draw. `kl_by_dimension` splits the KL over the latent
    dimensions, None where it has no such closed form.
    """

    elbo: float
    reconstruction: float
    kl: float
    protocol: str
    examples: int
    draws: int
    se_noise: float | None
    kl_by_dimension: list[float] | None


DRAWS = 10
"""Draws of a chunk that are decoded at a time."""


def evaluate_elbo(
    vae: VAE,
    params: Params,
    images: Pixels,
    binarisation: Binarisation,
    key: Key,
    *,
    draws: int,
    chunk: int = 1000,
) -> Evaluation:
    """The ELBO with its terms, averaged over examples and over `draws` noise draws for each.

    Each example has its own key, so that the noise is the same for every `chunk` of examples; a chunk and ten draws at
    a time bound the memory. Under `dynamic` each example is binarised once. The KL is the closed form where one exists.

    Raises:
        TypeError, ValueError: as `check_evaluation`; no examples, no draws, or none in a chunk.
    """
    check_count("draws", draws, 0)
    if len(images) < 1 or draws < 1:
        raise ValueError(f"an evaluation needs examples and draws, got {len(images)} examples and {draws} draws")
    check_count("chunk", chunk)
    draws, chunk = int(draws), int(chunk)  # torch cuts by Python's integers alone
    check_evaluation(vae, params, images, binarisation)
    noise_keys, target_keys = (random.split(k, len(images)) for k in random.split(key, 2))
    noise_like = posterior_of_one(vae, params, images).noise_like((draws,))
    with torch.no_grad():
        parts = [
            _terms(vae, params, *part, binarisation, noise_like)
            for part in zip(images.split(chunk), noise_keys.split(chunk), target_keys.split(chunk), strict=True)
        ]
    reconstruction, divergence, variance, *dimensions = torch.cat(parts, 1).mean(1).tolist()
    se_noise = math.sqrt(variance / (draws * len(images))) if draws > 1 else None
    elbo = reconstruction - divergence
    return Evaluation(
        elbo, reconstruction, divergence, binarisation.name, len(images), draws, se_noise, dimensions or None
    )


def check_evaluation(vae: VAE, params: Params, images: Pixels, binarisation: Binarisation) -> None:
    """Hold what a data set is evaluated by against what it must be.

    Raises:
        TypeError: an argument is something else.
        ValueError: the images are not what the model reads.
    """
    check_kind("vae", vae, VAE, "pass the model that was trained")
    check_protocol("binarisation", binarisation)
    check_rows("images", images)
    if images.is_floating_point():
        check_data("images", vae, params, images, None, binarisation)
    else:  # whose width the model itself refuses, and whose levels are in [0, 1] whatever it gives
        check_levels("images", images)
        check_prepared("images", images, binarisation)


def _terms(
    vae: VAE,
    params: Params,
    pixels: Pixels,
    noise_keys: Key,
    target_keys: Key,
    binarisation: Binarisation,
    noise_like: Tree,
) -> Float64[Tensor, "terms b"]:
    """Reconstruction, KL, the variance of one draw of the ELBO, and the KL of each dimension, for each example."""
    targets = binarisation.apply(pixels, random.draw(target_keys, binarisation.noise_like(tuple(pixels.shape[1:]))))
    x = targets.to(wide(params))
    noise = tree.map(lambda each: each.movedim(1, 0), random.draw(noise_keys, noise_like))
    draws = tree.leaves(noise)[0].shape[0]
    some = [tree.map(lambda each: each[first : first + DRAWS], noise) for first in range(0, draws, DRAWS)]  # noqa: B023
    runs = [forward(vae, params, x, few) for few in some]
    reconstruction = torch.cat([run.log_likelihood for run in runs]).double()
    q, p = runs[0].posterior, runs[0].prior
    divergence = kl(q, p).expand_as(reconstruction) if has_closed_form(q, p) else log_ratio(q, p, noise)
    variance = (reconstruction - divergence.double()).var(0) if draws > 1 else torch.zeros_like(reconstruction[0])
    return torch.stack(
        [reconstruction.mean(0), divergence.double().mean(0), variance, *_kl_by_dimension(q, p)],
    )


def posterior_of_one(vae: VAE, params: Params, images: Pixels) -> Distribution:
    """The posterior of one image, as shapes alone."""
    like = {"dtype": wide(params), "device": images.device}
    return tree.shapes_of(lambda: vae.posterior(params, torch.zeros(images.shape[1:], **like), None))


def _kl_by_dimension(posterior: Distribution, prior: Distribution) -> tuple[Float64[Tensor, " b"], ...]:
    try:
        return kl_by_dimension(posterior, prior).double().unbind(-1)
    except NoClosedFormError:
        return ()
