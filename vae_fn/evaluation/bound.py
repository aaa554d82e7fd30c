"""The K-sample bound of a data set, with the noise of each example from a key of its own."""

import torch
from jaxtyping import Float64

from vae_fn import random, tree
from vae_fn.data import Binarisation
from vae_fn.errors import check_count
from vae_fn.evaluation.elbo import check_evaluation, posterior_of_one
from vae_fn.models import VAE
from vae_fn.models.fit import check_density
from vae_fn.models.objectives import iwae
from vae_fn.models.precision import wide
from vae_fn.types import Key, Params, Pixels

SAMPLES = 10_000
"""Samples that are decoded at a time, of one example at least."""


def evaluate_bound(
    vae: VAE, params: Params, images: Pixels, binarisation: Binarisation, key: Key, *, samples: int
) -> float:
    """E log (1/K) sum_k w_k in nats per example (Burda et al. 2016, eq. 8), each example weighted equally.

    With K = 1 it is the ELBO in mean; `evaluate_elbo` has less noise there. Under `dynamic` each example is binarised
    once, as there.

    Raises:
        TypeError, ValueError: as `check_evaluation` and `check_density`; no examples, or no samples.
    """
    check_count("samples", samples, 0)
    if len(images) < 1 or samples < 1:
        raise ValueError(f"a bound needs examples and samples, got {len(images)} examples and {samples} samples")
    check_evaluation(vae, params, images, binarisation)
    check_density("the bound", vae, params, images, None, binarisation)
    noise_keys, target_keys = (random.split(k, len(images)) for k in random.split(key, 2))
    noise_like = posterior_of_one(vae, params, images).noise_like((samples,))

    def bounds(pixels: Pixels, noise_keys: Key, target_keys: Key) -> Float64[torch.Tensor, " b"]:
        specs = binarisation.noise_like(tuple(pixels.shape[1:]))
        x = binarisation.apply(pixels, random.draw(target_keys, specs)).to(wide(params))
        noise = tree.map(lambda each: each.movedim(1, 0), random.draw(noise_keys, noise_like))
        return iwae(vae, params, x, noise).objective.double()

    chunk = max(1, SAMPLES // int(samples))
    cut = (part.split(chunk) for part in (images, noise_keys, target_keys))
    with torch.no_grad():
        return torch.cat([bounds(*part) for part in zip(*cut, strict=True)]).mean().item()
