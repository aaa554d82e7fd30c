"""Problems that papers measure gradient estimators on, by name; one family a file."""

from vae_fn.gradients.published.bernoulli_costs import OneBernoulli as OneBernoulli
from vae_fn.gradients.published.bernoulli_costs import ThreeBernoullis as ThreeBernoullis
from vae_fn.gradients.published.catalogue import PROBLEMS as PROBLEMS
from vae_fn.gradients.published.catalogue import Published as Published
from vae_fn.gradients.published.categorical_costs import CategoricalCosts as CategoricalCosts
from vae_fn.gradients.published.gaussian_costs import GaussianCosts as GaussianCosts
from vae_fn.gradients.published.linear_vae import LinearVAE as LinearVAE
from vae_fn.gradients.published.rainforth import Rainforth as Rainforth
from vae_fn.gradients.published.trained_vae import trained_vae as trained_vae
