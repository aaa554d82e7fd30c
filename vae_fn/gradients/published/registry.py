"""The published problems by name."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from vae_fn.gradients.posed import Posed
from vae_fn.gradients.published.bernoulli_costs import OneBernoulli, ThreeBernoullis
from vae_fn.gradients.published.categorical_costs import CategoricalCosts
from vae_fn.gradients.published.gaussian_costs import GaussianCosts
from vae_fn.gradients.published.linear_vae import LinearVAE
from vae_fn.gradients.published.rainforth import Rainforth


class Options(Protocol):
    """A frozen dataclass of what can be chosen of a problem, checked when it is made."""

    def make(self) -> Posed:
        """The problem with these options."""
        ...


class Published(NamedTuple):
    """What is told of a problem before it is made.

    Attributes:
        options: the dataclass whose `make()` gives the problem; None where a model is needed, see `trained_vae`.
        about: one line.
        paper: where it is from.
    """

    options: type[Options] | None
    about: str
    paper: str


PROBLEMS: Mapping[str, Published] = {
    "gaussian-costs": Published(
        GaussianCosts,
        "a quadratic, exponential or cosine cost of one normal variable, gradients in its mean and standard deviation",
        "Mohamed et al. (2020), Monte Carlo gradient estimation in machine learning",
    ),
    "one-bernoulli": Published(
        OneBernoulli,
        "the squared distance of one bit to a target near 1/2",
        "Tucker et al. (2017), REBAR: low-variance, unbiased gradient estimates for discrete latent variable models",
    ),
    "three-bernoullis": Published(
        ThreeBernoullis,
        "the squared distance of three bits to three targets, with one logit for all or one each",
        "Liu et al. (2019), Rao-Blackwellized stochastic gradients for discrete distributions; "
        "Grathwohl et al. (2018), Backpropagation through the void",
    ),
    "categorical-costs": Published(
        CategoricalCosts,
        "a linear, quadratic or cubic cost of one one-hot variable, to see the bias of relaxations",
        "after Liu et al. (2023), Bridging discrete and backpropagation: straight-through and beyond",
    ),
    "rainforth": Published(
        Rainforth,
        "a Gaussian model near its optimum, to see the signal-to-noise ratio of K-sample bounds fall or rise with K",
        "Rainforth et al. (2018), Tighter variational bounds are not necessarily better",
    ),
    "linear-vae": Published(
        LinearVAE,
        "probabilistic PCA as a VAE, whose optimum, posterior and likelihood have closed forms",
        "Lucas et al. (2019), Don't blame the ELBO! A linear VAE perspective on posterior collapse",
    ),
    "trained-vae": Published(
        None,
        "a model from a run, with exact gradients if it has up to three Gaussian latents or a few bits",
        "the run's own",
    ),
}
"""The problems, in the order of how much there is to compute."""
