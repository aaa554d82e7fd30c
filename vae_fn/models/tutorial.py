"""The tutorial's model: perceptrons 784-512-256-128-64-4 and 2-64-128-256-512-784 with SiLU between the layers."""

from vae_fn.models.networks import Network, mlp, network
from vae_fn.models.vae import VAE, build


def tutorial(latent_dim: int = 2, hidden_dim: int = 512, data_dim: int = 784) -> VAE:
    """A diagonal normal posterior and Bernoulli pixels; 1,149,972 parameters at the default widths.

    The hidden widths are h, h/2, h/4 and h/8. Data stay in [0, 1]; the encoder centres them at 0.

    Raises:
        ValueError: `hidden_dim` is not a positive multiple of 8, or `latent_dim` is not positive.
    """
    if hidden_dim < 8 or hidden_dim % 8:
        raise ValueError(f"hidden_dim is halved three times: give a positive multiple of 8, not {hidden_dim}")
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, not {latent_dim}")
    hidden = [hidden_dim // 2**i for i in range(4)]
    centred = network(mlp([data_dim, *hidden, 2 * latent_dim]), (data_dim,))
    encoder = Network(centred.init, lambda params, x: centred.apply(params, x - 0.5))
    decoder = mlp([latent_dim, *hidden[::-1], data_dim])
    return build(encoder, decoder, data_dim=data_dim, latent_dim=latent_dim)
