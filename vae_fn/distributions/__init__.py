"""Families of distributions as NamedTuples of tensors, and the divergences between them."""

from vae_fn.distributions.batches import batch_shape as batch_shape
from vae_fn.distributions.batches import over_batch as over_batch
from vae_fn.distributions.bernoulli import Bernoulli as Bernoulli
from vae_fn.distributions.categorical import Categorical as Categorical
from vae_fn.distributions.central import central as central
from vae_fn.distributions.kinds import is_discrete as is_discrete
from vae_fn.distributions.kl import NoClosedFormError as NoClosedFormError
from vae_fn.distributions.kl import has_closed_form as has_closed_form
from vae_fn.distributions.kl import kl as kl
from vae_fn.distributions.kl import kl_by_dimension as kl_by_dimension
from vae_fn.distributions.kl import kl_monte_carlo as kl_monte_carlo
from vae_fn.distributions.kl import log_ratio as log_ratio
from vae_fn.distributions.laplace import Laplace as Laplace
from vae_fn.distributions.layered import BottomUp as BottomUp
from vae_fn.distributions.layered import TopDown as TopDown
from vae_fn.distributions.layered import conditional as conditional
from vae_fn.distributions.logistic import Logistic as Logistic
from vae_fn.distributions.multivariate_normal import MultivariateNormal as MultivariateNormal
from vae_fn.distributions.normal import Normal as Normal
from vae_fn.distributions.positive import positive as positive
from vae_fn.distributions.protocol import Distribution as Distribution
from vae_fn.distributions.protocol import Family as Family
