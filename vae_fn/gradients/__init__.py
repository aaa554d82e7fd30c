"""Gradients: what is estimated (`Problem`), by what (`Estimator`), and the engine of three wires."""

from vae_fn.gradients.coefficients import from_coefficients as from_coefficients
from vae_fn.gradients.estimator import Estimate as Estimate
from vae_fn.gradients.estimator import Estimator as Estimator
from vae_fn.gradients.estimator import Evaluations as Evaluations
from vae_fn.gradients.estimator import stateless as stateless
from vae_fn.gradients.posed import Posed as Posed
from vae_fn.gradients.problem import Problem as Problem
from vae_fn.gradients.problem import elbo_problem as elbo_problem
from vae_fn.gradients.problem import elbo_sampled_problem as elbo_sampled_problem
from vae_fn.gradients.surrogate import differentiate as differentiate
from vae_fn.gradients.surrogate import from_surrogate as from_surrogate
from vae_fn.gradients.surrogate import pull_held as pull_held
from vae_fn.gradients.surrogate import weigh as weigh
from vae_fn.gradients.wires import Coefficients as Coefficients
from vae_fn.gradients.wires import pull as pull
