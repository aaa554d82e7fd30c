"""Gradient estimators, one family a file, and all of them by name."""

from vae_fn.gradients.estimators.catalogue import CATALOGUE as CATALOGUE
from vae_fn.gradients.estimators.catalogue import Entry as Entry
from vae_fn.gradients.estimators.disarm import disarm as disarm
from vae_fn.gradients.estimators.gdreg import gdreg as gdreg
from vae_fn.gradients.estimators.importance import dreg as dreg
from vae_fn.gradients.estimators.importance import iwae as iwae
from vae_fn.gradients.estimators.importance import vimco as vimco
from vae_fn.gradients.estimators.importance import wake as wake
from vae_fn.gradients.estimators.relax import rebar as rebar
from vae_fn.gradients.estimators.relax import relax as relax
from vae_fn.gradients.estimators.single import pathwise as pathwise
from vae_fn.gradients.estimators.single import rloo as rloo
from vae_fn.gradients.estimators.single import sticking_the_landing as sticking_the_landing
