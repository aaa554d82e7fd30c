"""Hypothesis strategies for tensors, parameters, distributions, models and problems, and profiles to run them under.

Shapes, dtypes, scales and structure are drawn, and contents are made from a drawn seed by the stateless generator: an
example costs little, shrinks quickly, and no global generator is touched. This alone of the package imports Hypothesis;
the extra `verify` brings it.
"""

from vae_fn.verify.strategies.contents import KINDS as KINDS
from vae_fn.verify.strategies.contents import SCALES as SCALES
from vae_fn.verify.strategies.contents import Kind as Kind
from vae_fn.verify.strategies.contents import contents as contents
from vae_fn.verify.strategies.hyperparameters import betas as betas
from vae_fn.verify.strategies.hyperparameters import decays as decays
from vae_fn.verify.strategies.hyperparameters import learning_rates as learning_rates
from vae_fn.verify.strategies.hyperparameters import momenta as momenta
from vae_fn.verify.strategies.hyperparameters import sample_counts as sample_counts
from vae_fn.verify.strategies.laws import FAMILIES as FAMILIES
from vae_fn.verify.strategies.laws import distributions as distributions
from vae_fn.verify.strategies.laws import pairs as pairs
from vae_fn.verify.strategies.laws import targets as targets
from vae_fn.verify.strategies.models import HEADS as HEADS
from vae_fn.verify.strategies.models import SmallVAE as SmallVAE
from vae_fn.verify.strategies.models import vaes as vaes
from vae_fn.verify.strategies.problems import problems as problems
from vae_fn.verify.strategies.profiles import register_profiles as register_profiles
from vae_fn.verify.strategies.profiles import statistical as statistical
from vae_fn.verify.strategies.tensors import keys as keys
from vae_fn.verify.strategies.tensors import params as params
from vae_fn.verify.strategies.tensors import seeds as seeds
from vae_fn.verify.strategies.tensors import shapes as shapes
from vae_fn.verify.strategies.tensors import tensors as tensors
