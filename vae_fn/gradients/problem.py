"""What a gradient estimator differentiates, and the problems that a VAE poses."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import Distribution
from vae_fn.models.objectives import PerSample, penalty
from vae_fn.models.vae import VAE
from vae_fn.types import Context, Params


class Problem(NamedTuple):
    """E_{z ~ q}[ f(z) + beta (log p(z) - log q(z)) ] + exact, one value per example, to be raised.

    Its parts are functions of the parameters, so that an estimator decides which of them it differentiates through.

    Attributes:
        q: the distribution of z.
        f: the log-likelihood, or any cost, at z `(k, *batch, *event)`; returns `(k, *batch)`.
        p: the prior; None for a plain cost, and where f is the log joint: then beta weighs the entropy alone.
        beta: the weight of log p - log q: 0 where the KL is in `exact` and for a plain cost.
        exact: what is not sampled, of the parameters and of q (which the estimator has computed already).
    """

    q: Callable[[Params], Distribution]
    f: Callable[[Params, Any], PerSample]
    p: Callable[[Params], Distribution] | None = None
    beta: float | Float[Tensor, ""] = 0.0
    exact: Callable[[Params, Distribution], Float[Tensor, "*b"]] | None = None


def elbo_problem(
    vae: VAE,
    x: Float[Tensor, "*b d"],
    context: Context = None,
    beta: float | Float[Tensor, ""] = 1.0,
    free_bits: float = 0.0,
) -> Problem:
    """The ELBO with its KL in closed form: `objectives.elbo`."""
    return Problem(
        q=lambda params: vae.posterior(params, x, context),
        f=_log_likelihood(vae, x, context),
        exact=lambda params, q: -penalty(q, vae.prior(params, context), beta, free_bits),
    )


def elbo_sampled_problem(
    vae: VAE, x: Float[Tensor, "*b d"], context: Context = None, beta: float | Float[Tensor, ""] = 1.0
) -> Problem:
    """The ELBO with everything sampled, `objectives.elbo_sampled`; also the problem of the K-sample bounds."""
    return Problem(
        q=lambda params: vae.posterior(params, x, context),
        f=_log_likelihood(vae, x, context),
        p=lambda params: vae.prior(params, context),
        beta=beta,
    )


def _log_likelihood(vae: VAE, x: Float[Tensor, "*b d"], context: Context) -> Callable:
    return lambda params, z: vae.likelihood(params, z, context).log_prob(x)


def check_sampled(problem: Problem) -> None:
    """Refuse a problem of whose log-weights a part is exact.

    Raises:
        ValueError: there is such a part.
    """
    if problem.exact is not None:
        raise ValueError(
            "a K-sample bound weighs samples by all of log w, so its KL cannot be exact: use elbo_sampled_problem"
        )
