"""The Kullback-Leibler divergence KL(q || p) = E_q[log q - log p]: in closed form by pair of families, or sampled."""

from jaxtyping import Float
from torch import Tensor

from vae_fn.distributions import closed_forms
from vae_fn.distributions.bernoulli import Bernoulli
from vae_fn.distributions.categorical import Categorical
from vae_fn.distributions.laplace import Laplace
from vae_fn.distributions.logistic import Logistic
from vae_fn.distributions.multivariate_normal import MultivariateNormal
from vae_fn.distributions.normal import Normal
from vae_fn.distributions.protocol import Distribution
from vae_fn.types import Tree

BY_DIMENSION = {
    (Normal, Normal): closed_forms.normal_normal,
    (Normal, Laplace): closed_forms.normal_laplace,
    (Laplace, Laplace): closed_forms.laplace_laplace,
    (Laplace, Normal): closed_forms.laplace_normal,
    (Logistic, Normal): closed_forms.logistic_normal,
    (Logistic, Laplace): closed_forms.logistic_laplace,
    (Bernoulli, Bernoulli): closed_forms.bernoulli_bernoulli,
    (Categorical, Categorical): closed_forms.categorical_categorical,
}
"""Pairs whose coordinates are independent under both: the divergence is a sum over them."""

JOINT = {
    (MultivariateNormal, MultivariateNormal): closed_forms.multivariate_multivariate,
    (MultivariateNormal, Normal): closed_forms.multivariate_normal,
    (MultivariateNormal, Laplace): closed_forms.multivariate_laplace,
    (Normal, MultivariateNormal): closed_forms.normal_multivariate,
    (Laplace, MultivariateNormal): closed_forms.laplace_multivariate,
    (Logistic, MultivariateNormal): closed_forms.logistic_multivariate,
}
"""Pairs with a full covariance on either side."""

DISCRETE = (Bernoulli, Categorical)


class NoClosedFormError(NotImplementedError):
    """The divergence of this pair of families has no closed form here, or none of the asked kind."""


def has_closed_form(q: Distribution, p: Distribution) -> bool:
    """Whether `kl(q, p)` has a formula."""
    return (type(q), type(p)) in BY_DIMENSION or (type(q), type(p)) in JOINT


def kl(q: Distribution, p: Distribution) -> Float[Tensor, "*b"]:
    """KL(q || p) in nats, one value per example.

    Raises:
        NoClosedFormError: the pair has no closed form; the message names `kl_monte_carlo`.
    """
    pair = (type(q), type(p))
    if pair in JOINT:
        return JOINT[pair](q, p)
    return kl_by_dimension(q, p).sum(-1)


def kl_by_dimension(q: Distribution, p: Distribution) -> Float[Tensor, "*b d"]:
    """KL(q || p) in nats, one value per example and latent dimension (per variable for `Categorical`).

    Raises:
        NoClosedFormError: the pair has no closed form, or a full covariance ties its dimensions together.
    """
    pair = (type(q), type(p))
    if pair not in BY_DIMENSION:
        raise NoClosedFormError(_why_not(*pair))
    return BY_DIMENSION[pair](q, p)


def log_ratio(q: Distribution, p: Distribution, noise: Tree) -> Float[Tensor, " k *b"]:
    """The log ratio log q(z) - log p(z) in nats at z = q.sample(noise), noise `(k, *b, *event)`; its mean is the KL."""
    value = q.sample(noise)
    return q.log_prob_from_noise(noise, value) - p.log_prob(value)


def kl_monte_carlo(q: Distribution, p: Distribution, noise: Tree) -> Float[Tensor, "*b"]:
    """The mean of `log_ratio` over the k draws in front: unbiased for KL(q || p), for any pair with one support."""
    return log_ratio(q, p, noise).mean(0)


def _why_not(q: type, p: type) -> str:
    pair = f"KL({q.__name__} || {p.__name__})"
    if (q, p) in JOINT:
        return f"{pair} does not split over latent dimensions: use kl(q, p), or a diagonal family"
    if (q in DISCRETE) != (p in DISCRETE) or (q in DISCRETE and q is not p):
        return f"{pair} is not defined: the two have different supports, choose one kind of latents for both"
    return f"{pair} has no closed form: estimate it with kl_monte_carlo(q, p, noise)"
