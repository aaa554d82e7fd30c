"""Gradient estimators, one family a file, and all of them by name."""

from vae_fn.gradients.estimators.antithetic import antithetic as antithetic
from vae_fn.gradients.estimators.arm import arm as arm
from vae_fn.gradients.estimators.catalogue import CATALOGUE as CATALOGUE
from vae_fn.gradients.estimators.catalogue import Entry as Entry
from vae_fn.gradients.estimators.concrete import gumbel_softmax as gumbel_softmax
from vae_fn.gradients.estimators.disarm import disarm as disarm
from vae_fn.gradients.estimators.enumeration import enumeration as enumeration
from vae_fn.gradients.estimators.gdreg import gdreg as gdreg
from vae_fn.gradients.estimators.gumbel_rao import gumbel_rao as gumbel_rao
from vae_fn.gradients.estimators.importance import dreg as dreg
from vae_fn.gradients.estimators.importance import iwae as iwae
from vae_fn.gradients.estimators.importance import stl_iwae as stl_iwae
from vae_fn.gradients.estimators.importance import vimco as vimco
from vae_fn.gradients.estimators.importance import wake as wake
from vae_fn.gradients.estimators.measure_valued import measure_valued as measure_valued
from vae_fn.gradients.estimators.reinforce import nvil as nvil
from vae_fn.gradients.estimators.reinforce import reinforce as reinforce
from vae_fn.gradients.estimators.reinforce import reinforce_moving_average as reinforce_moving_average
from vae_fn.gradients.estimators.reinforce import reinforce_optimal as reinforce_optimal
from vae_fn.gradients.estimators.relax import rebar as rebar
from vae_fn.gradients.estimators.relax import relax as relax
from vae_fn.gradients.estimators.single import pathwise as pathwise
from vae_fn.gradients.estimators.single import rloo as rloo
from vae_fn.gradients.estimators.single import sticking_the_landing as sticking_the_landing
from vae_fn.gradients.estimators.straight_through import straight_through as straight_through
from vae_fn.gradients.estimators.straight_through import straight_through_gumbel as straight_through_gumbel
