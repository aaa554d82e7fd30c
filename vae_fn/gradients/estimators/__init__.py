"""Gradient estimators, one family a file."""

from vae_fn.gradients.estimators.importance import dreg as dreg
from vae_fn.gradients.estimators.importance import iwae as iwae
from vae_fn.gradients.estimators.importance import vimco as vimco
from vae_fn.gradients.estimators.importance import wake as wake
from vae_fn.gradients.estimators.single import pathwise as pathwise
from vae_fn.gradients.estimators.single import rloo as rloo
from vae_fn.gradients.estimators.single import sticking_the_landing as sticking_the_landing
