"""Gradient estimators, one family a file, and all of them by name."""

from vae_fn.gradients.estimators.arm import arm as arm
from vae_fn.gradients.estimators.catalogue import CATALOGUE as CATALOGUE
from vae_fn.gradients.estimators.catalogue import Entry as Entry
from vae_fn.gradients.estimators.concrete import gumbel_softmax as gumbel_softmax
from vae_fn.gradients.estimators.disarm import disarm as disarm
from vae_fn.gradients.estimators.gdreg import gdreg as gdreg
from vae_fn.gradients.estimators.gumbel_rao import gumbel_rao as gumbel_rao
from vae_fn.gradients.estimators.importance import dreg as dreg
from vae_fn.gradients.estimators.importance import iwae as iwae
from vae_fn.gradients.estimators.importance import vimco as vimco
from vae_fn.gradients.estimators.importance import wake as wake
from vae_fn.gradients.estimators.relax import rebar as rebar
from vae_fn.gradients.estimators.relax import relax as relax
from vae_fn.gradients.estimators.single import pathwise as pathwise
from vae_fn.gradients.estimators.single import rloo as rloo
from vae_fn.gradients.estimators.single import sticking_the_landing as sticking_the_landing
from vae_fn.gradients.estimators.straight_through import straight_through as straight_through
from vae_fn.gradients.estimators.straight_through import straight_through_gumbel as straight_through_gumbel
