"""Small VAEs over heads, dimensions and widths."""

import functools
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from vae_fn import models
from vae_fn.models import VAE, heads
from vae_fn.models.heads import Head
from vae_fn.verify.strategies.building import built

HEADS: dict[str, Head] = {
    "normal": heads.normal,
    "laplace": heads.laplace,
    "logistic": heads.logistic,
    "full_normal": heads.full_normal,
    "fixed_normal": heads.fixed_normal(0.5),
    "bernoulli": heads.bernoulli,
}


class SmallVAE(NamedTuple):
    """Two perceptrons with these hidden widths (the decoder's reversed) and heads of `HEADS`.

    Attributes:
        data_dim: numbers in one datum.
        latent_dim: numbers in one latent vector.
        hidden: widths of the encoder's hidden layers.
        posterior: the head that reads the encoder.
        likelihood: the head that reads the decoder.
    """

    data_dim: int
    latent_dim: int
    hidden: tuple[int, ...] = ()
    posterior: str = "normal"
    likelihood: str = "bernoulli"

    @property
    def vae(self) -> VAE:
        """The VAE itself, built when it is first asked for."""
        return _built(self)


@functools.cache
def _built(small: SmallVAE) -> VAE:
    inner, outer = HEADS[small.posterior], HEADS[small.likelihood]
    return models.build(
        models.mlp([small.data_dim, *small.hidden, inner.width(small.latent_dim)]),
        models.mlp([small.latent_dim, *small.hidden[::-1], outer.width(small.data_dim)]),
        data_dim=small.data_dim,
        latent_dim=small.latent_dim,
        posterior=inner,
        likelihood=outer,
    )


def vaes(
    posteriors: tuple[str, ...] = ("normal", "laplace", "logistic", "full_normal"),
    likelihoods: tuple[str, ...] = ("bernoulli", "fixed_normal", "normal", "laplace"),
) -> SearchStrategy[SmallVAE]:
    """VAEs of up to two hidden layers: `small.vae.init` of a key of `keys()` gives parameters, `targets` data.

    Args:
        posteriors: names of `HEADS` that read the encoder.
        likelihoods: names of `HEADS` that read the decoder.
    """
    return built(
        SmallVAE,
        data_dim=st.sampled_from([1, 2, 5]),
        latent_dim=st.integers(1, 3),
        hidden=st.sampled_from([(), (4,), (3, 5)]),
        posterior=st.sampled_from(posteriors),
        likelihood=st.sampled_from(likelihoods),
    )
