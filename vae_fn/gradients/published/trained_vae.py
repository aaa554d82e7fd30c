"""A VAE as training left it."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from vae_fn.gradients.posed import Posed
from vae_fn.gradients.problem import Problem, elbo_sampled_problem
from vae_fn.models.vae import VAE
from vae_fn.types import Params


def trained_vae(
    vae: VAE,
    params: Params,
    data: Float[Tensor, "n d"],
    *,
    name: str = "trained-vae",
    pose: Callable[[VAE, Float[Tensor, "*b d"]], Problem] = elbo_sampled_problem,
    target: str = "the ELBO",
) -> Posed:
    """The problem of a VAE at given parameters; the groups are its networks.

    Its gradients are known exactly with few latents: up to three Gaussian dimensions by quadrature, up to 2**16 states
    of discrete ones by enumeration. Beyond that there are estimates alone.

    Args:
        vae: the model.
        params: where gradients are measured, in any dtype.
        data: what to measure on, as the model reads them; black and white where a Bernoulli likelihood weighs samples.
        name: as in tables: say which run and which step.
        pose: the problem of the model and a batch: `elbo_problem` has its KL in closed form, which K-sample bounds do
            not allow.
        target: "the ELBO" or "the K-sample bound".
    """
    return Posed(name, lambda x: pose(vae, x), data, params, target)
