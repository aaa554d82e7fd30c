"""Models: networks as pure functions, the VAE tuple, ready-made models, and objectives."""

from vae_fn.models.networks import Network as Network
from vae_fn.models.networks import mlp as mlp
from vae_fn.models.networks import network as network
from vae_fn.models.tutorial import tutorial as tutorial
from vae_fn.models.vae import VAE as VAE
from vae_fn.models.vae import build as build
