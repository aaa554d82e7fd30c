"""Categorical latents: several one-hot variables (Jang et al. 2017, section 4)."""

from collections.abc import Callable, Sequence

from torch import nn

from vae_fn.models import heads, priors
from vae_fn.models.heads import Head
from vae_fn.models.networks import centred, entered
from vae_fn.models.priors import Prior
from vae_fn.models.vae import VAE, build


def categorical_latents(
    variables: int = 20,
    classes: int = 10,
    hidden: Sequence[int] = (),
    data_dim: int = 784,
    prior: Callable[[Head], Callable[[int], Prior]] = priors.learned,
) -> VAE:
    """One-hot variables of `classes` classes each, and Bernoulli pixels.

    Args:
        variables: latent variables.
        classes: of each.
        hidden: widths of the hidden layers of encoder, with tanh between them, and, reversed, decoder; none makes both
            linear.
        data_dim: pixels.
        prior: `priors.learned`, or `priors.uniform` over the classes.

    Raises:
        ValueError: there are no variables, or fewer than two classes.
    """
    if variables < 1:
        raise ValueError(f"there must be at least 1 variable, not {variables}")
    head, width = heads.categorical(classes), variables * classes
    return build(
        entered(centred, [data_dim, *hidden, width], nn.Tanh),
        entered(lambda z: z.flatten(-2), [width, *reversed(hidden), data_dim], nn.Tanh),
        data_dim=data_dim,
        latent_dim=variables,
        posterior=head,
        prior=prior(head),
    )
