"""Models: networks as pure functions, the VAE tuple, ready-made models, and objectives."""

from vae_fn.models.bernoulli_latents import bernoulli_latents as bernoulli_latents
from vae_fn.models.bernoulli_latents import layered_bernoulli_latents as layered_bernoulli_latents
from vae_fn.models.categorical_latents import categorical_latents as categorical_latents
from vae_fn.models.networks import Network as Network
from vae_fn.models.networks import mlp as mlp
from vae_fn.models.networks import network as network
from vae_fn.models.precision import bfloat16_trunk as bfloat16_trunk
from vae_fn.models.tutorial import tutorial as tutorial
from vae_fn.models.vae import VAE as VAE
from vae_fn.models.vae import build as build
