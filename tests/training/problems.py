"""A small model, real pixels, and algorithms on them, for the tests of steps and loops."""

import torch

from vae_fn import data, gradients, models, random, tree
from vae_fn.gradients import estimators
from vae_fn.training import Algorithm, adamw, make_step

PIXELS = 12


def small_vae(latent_dim: int = 2) -> models.VAE:
    encoder, decoder = models.mlp([PIXELS, 8, 2 * latent_dim]), models.mlp([latent_dim, 8, PIXELS])
    return models.build(encoder, decoder, data_dim=PIXELS, latent_dim=latent_dim)


def images(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, PIXELS), generator=generator, dtype=torch.uint8)


def algorithm(
    vae=None,
    pose=gradients.elbo_problem,
    estimator=None,
    optimizer=None,
    binarisation=data.GREY,
    **settings,
) -> Algorithm:
    return make_step(
        vae or small_vae(),
        pose,
        estimator or estimators.pathwise(),
        optimizer or adamw(1e-2),
        binarisation=binarisation,
        **settings,
    )


def streams(seed: int = 0) -> random.Streams:
    return random.streams(random.key(seed))


def double(state):
    return tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, state)
