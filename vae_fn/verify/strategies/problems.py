"""Problems whose values and gradients are known."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from vae_fn.verify.problems import (
    Known,
    at_posterior,
    bernoulli_decoder,
    bernoulli_latents,
    categorical,
    linear_gaussian,
)
from vae_fn.verify.strategies.building import built


def problems(*, continuous: bool = True, discrete: bool = True, max_latents: int = 2) -> SearchStrategy[Known]:
    """Problems of `verify.problems`, each at parameters of its own.

    Args:
        continuous: with Gaussian latents: linear, at the exact posterior, or with a Bernoulli decoder.
        discrete: with binary or one-hot latents.
        max_latents: latent dimensions; an integral over K samples has K times as many.

    Raises:
        ValueError: neither kind is asked for.
    """
    latents, weights = st.integers(1, max_latents), st.sampled_from([1.0, 0.5, 2.0])
    gaussian = [
        built(bernoulli_decoder, latents, beta=weights, closed_kl=st.booleans()),
        built(linear_gaussian, latents, scale=st.sampled_from([1.5, 0.5])),
        built(at_posterior, latents, scale=st.sampled_from([1.5, 0.5])),
    ]
    enumerated = [
        built(bernoulli_latents, latents, beta=weights),
        built(categorical, latents, st.integers(2, 3)),
    ]
    chosen = gaussian * continuous + enumerated * discrete
    if not chosen:
        raise ValueError("ask for continuous problems, discrete ones, or both")
    return st.one_of(chosen)
