"""Every published problem by the name that it has on the command line."""

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
        papers: the keys in `references.bib` of the papers that it comes from; none of the user's own model.
    """

    options: type[Options] | None
    about: str
    papers: tuple[str, ...]


PROBLEMS: Mapping[str, Published] = {
    "gaussian-costs": Published(
        GaussianCosts,
        "a quadratic, exponential or cosine cost of one normal variable, gradients in its mean and standard deviation",
        ("mohamed2020",),
    ),
    "one-bernoulli": Published(
        OneBernoulli,
        "the squared distance of one bit to a target near 1/2",
        ("tucker2017", "grathwohl2018"),
    ),
    "three-bernoullis": Published(
        ThreeBernoullis,
        "the squared distance of three bits to three targets, with one logit for all or one each",
        ("liu2019", "kool2020", "grathwohl2018"),
    ),
    "categorical-costs": Published(
        CategoricalCosts,
        "a linear, quadratic or cubic cost of one one-hot variable, to see the bias of relaxations",
        ("liu2023",),
    ),
    "rainforth": Published(
        Rainforth,
        "a Gaussian model near its optimum, to see the signal-to-noise ratio of K-sample bounds fall or rise with K",
        ("rainforth2018",),
    ),
    "linear-vae": Published(
        LinearVAE,
        "probabilistic PCA as a VAE, whose optimum, posterior and likelihood have closed forms",
        ("tipping1999", "lucas2019"),
    ),
    "trained-vae": Published(
        None,
        "a model from a run, with exact gradients if it has up to three Gaussian latents or a few bits",
        (),
    ),
}
"""The problems, in the order of how much there is to compute."""
