"""Small problems whose values and gradients are known exactly, by quadrature or enumeration.

Each is asymmetric in everything, so that a sign, a factor or a mixed-up axis changes its gradient. Data and parameters
are float64 and hashed from the problem's name.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn import functional as F

from vae_fn import random
from vae_fn.distributions import Bernoulli, Categorical, Distribution, Normal, kl, positive
from vae_fn.gradients import Problem
from vae_fn.gradients.oracles.auto import exact as oracle
from vae_fn.gradients.oracles.moments import FURTHER, order_of
from vae_fn.gradients.oracles.nodes import Nodes, enumerate_states, product
from vae_fn.models.objectives import log_mean_exp
from vae_fn.types import Params, Shape, Tree
from vae_fn.verify.seeds import key_of

PIXELS = 3
"""Dimensions of the data."""

Average = Callable[[Float64[Tensor, " k *b"]], Float64[Tensor, "*b"]]
"""What a bound makes of K log-weights: their mean, or the logarithm of the mean weight."""

AVERAGES: dict[str, Average] = {"the ELBO": lambda log_weights: log_weights.mean(0), "the K-sample bound": log_mean_exp}
"""The targets that an estimator can declare to be unbiased for."""


class Known(NamedTuple):
    """A problem at parameters where its value and gradient can be integrated.

    Attributes:
        name: as in tables.
        pose: `pose(x)` is the problem of data `(*batch, PIXELS)`.
        x: the datum at which it is known, `(PIXELS,)`.
        params: the parameters at which it is known.
    """

    name: str
    pose: Callable[[Float64[Tensor, "*b d"]], Problem]
    x: Float64[Tensor, " d"]
    params: Params

    @property
    def problem(self) -> Problem:
        """The problem of the datum."""
        return self.pose(self.x)

    @property
    def discrete(self) -> bool:
        """Whether its latents are enumerated, and not integrated."""
        return isinstance(self.problem.q(self.params), Bernoulli | Categorical)

    def rule(self, samples: int) -> Nodes:
        """Nodes in place of the noise of K samples, `(n, K, *event)`; all states of discrete latents.

        Raises:
            ValueError: there are too many of them.
        """
        q = self.problem.q(self.params)
        if self.discrete:
            return enumerate_states(q, samples)
        specs = q.noise_like((samples,))
        return product(specs, order_of(specs) + FURTHER)

    def value(self, params: Params, samples: int, average: Average) -> Float64[Tensor, ""]:
        """E[average of K log-weights] + exact in nats.

        Raises:
            ValueError: the average is none of `AVERAGES`, or the integral has too many nodes.
        """
        return oracle(self.problem, params, _target(average), samples).value

    def exact(self, samples: int, average: Average) -> dict[str, Tree]:
        """The exact `value`, in nats, and its exact gradient `grads`.

        Raises:
            ValueError: as `value`.
        """
        found = oracle(self.problem, self.params, _target(average), samples)
        return {"value": found.value, "grads": found.grads}


def _target(average: Average) -> str:
    for target, known in AVERAGES.items():
        if average is known:
            return target
    raise ValueError(f"there is an oracle of the averages of {', '.join(map(repr, AVERAGES))}: take one from AVERAGES")


def bernoulli_decoder(latents: int = 1, *, beta: float = 1.0, closed_kl: bool = False) -> Known:
    """Gaussian latents with a learned prior, binary data; the KL sampled, or in closed form."""
    name = f"bernoulli_decoder(latents={latents}, beta={beta:g}{', closed_kl=True' if closed_kl else ''})"

    def pose(x: Float64[Tensor, "*b d"]) -> Problem:
        return _gaussian(x, lambda loc: Bernoulli(loc), beta, closed_kl)

    return Known(
        name, pose, _bits(name), _parameters(name, _shapes(2 * latents, latents, {"loc": latents, "raw": latents}))
    )


def linear_gaussian(latents: int = 1, *, scale: float = 1.5) -> Known:
    """A linear decoder with Gaussian noise of standard deviation `scale`: `at_posterior` knows its posterior."""
    name = f"linear_gaussian(latents={latents})"

    def pose(x: Float64[Tensor, "*b d"]) -> Problem:
        return _gaussian(x, lambda loc: Normal(loc, torch.full_like(loc, scale)), 1.0, closed_kl=False)

    x = random.normal(key_of(name, (), "x"), (PIXELS,)).double()
    return Known(name, pose, x, _parameters(name, _shapes(2 * latents, latents, {"loc": latents, "raw": latents})))


def at_posterior(latents: int = 1, *, scale: float = 1.5) -> Known:
    """`linear_gaussian` with orthogonal decoder columns and q the exact posterior, for every datum.

    There the ELBO is log p(x), and every estimator that holds q's density still has an encoder gradient of 0, draw by
    draw (Roeder et al. 2017).
    """
    known = linear_gaussian(latents, scale=scale)
    params = {network: dict(leaves) for network, leaves in known.params.items()}
    columns = torch.linalg.qr(params["decoder"]["weight"]).Q * torch.linspace(0.6, 1.1, latents, dtype=torch.float64)
    loc, prior_variance = params["prior"]["loc"], positive(params["prior"]["raw"]) ** 2
    variance = 1 / (1 / prior_variance + (columns**2).sum(0) / scale**2)
    to_loc = variance[:, None] * columns.T / scale**2
    shift = variance * loc / prior_variance - to_loc @ params["decoder"]["bias"]
    raw = torch.log(torch.expm1(variance.sqrt() - 1e-8))  # the inverse of `positive`
    params["decoder"]["weight"] = columns
    params["encoder"] = {"weight": F.pad(to_loc, (0, 0, 0, latents)), "bias": torch.cat([shift, raw])}
    return known._replace(name=f"at_posterior(latents={latents})", params=params)


def bernoulli_latents(latents: int = 2, *, beta: float = 1.0) -> Known:
    """Binary latents with a learned prior, binary data."""
    name = f"bernoulli_latents(latents={latents}, beta={beta:g})"

    def pose(x: Float64[Tensor, "*b d"]) -> Problem:
        return Problem(
            q=lambda params: Bernoulli(_encode(params, x)),
            f=lambda params, z: Bernoulli(_decode(params, z)).log_prob(x),
            p=lambda params: Bernoulli(params["prior"]["logits"]),
            beta=beta,
        )

    return Known(name, pose, _bits(name), _parameters(name, _shapes(latents, latents, {"logits": latents})))


def categorical(variables: int = 1, classes: int = 3) -> Known:
    """One-hot latents with a learned prior, binary data."""
    name, width = f"categorical(variables={variables}, classes={classes})", variables * classes

    def pose(x: Float64[Tensor, "*b d"]) -> Problem:
        return Problem(
            q=lambda params: Categorical(_encode(params, x).unflatten(-1, (variables, classes))),
            f=lambda params, z: Bernoulli(_decode(params, z.flatten(-2))).log_prob(x),
            p=lambda params: Categorical(params["prior"]["logits"].unflatten(-1, (variables, classes))),
            beta=1.0,
        )

    return Known(name, pose, _bits(name), _parameters(name, _shapes(width, width, {"logits": width})))


def _gaussian(x: Tensor, likelihood: Callable[[Tensor], Distribution], beta: float, closed_kl: bool) -> Problem:
    def q(params: Params) -> Normal:
        loc, raw = _encode(params, x).chunk(2, -1)
        return Normal(loc, positive(raw))

    def p(params: Params) -> Normal:
        return Normal(params["prior"]["loc"], positive(params["prior"]["raw"]))

    def f(params: Params, z: Tensor) -> Tensor:
        return likelihood(_decode(params, z)).log_prob(x)

    if closed_kl:
        return Problem(q, f, exact=lambda params, q: -beta * kl(q, p(params)))
    return Problem(q, f, p, beta)


def _encode(params: Params, x: Tensor) -> Tensor:
    return F.linear(x, **params["encoder"])


def _decode(params: Params, z: Tensor) -> Tensor:
    return F.linear(z, **params["decoder"])


def _shapes(encoded: int, decoded: int, prior: dict[str, int]) -> dict[str, dict[str, Shape]]:
    return {
        "encoder": {"weight": (encoded, PIXELS), "bias": (encoded,)},
        "decoder": {"weight": (PIXELS, decoded), "bias": (PIXELS,)},
        "prior": {leaf: (size,) for leaf, size in prior.items()},
    }


def _parameters(name: str, shapes: dict[str, dict[str, Shape]]) -> Params:
    """Normal entries of standard deviation 0.5, each from a key of its own."""
    return {
        network: {leaf: 0.5 * _normal(name, f"{network}/{leaf}", shape) for leaf, shape in leaves.items()}
        for network, leaves in shapes.items()
    }


def _normal(name: str, leaf: str, shape: Shape) -> Float64[Tensor, "..."]:
    return random.normal(key_of(f"{name} {leaf}", (), "fixed"), shape).double()


def _bits(name: str) -> Float64[Tensor, " d"]:
    """Data with at least one bit of either kind."""
    places = torch.arange(PIXELS)
    return (places != int(random.uniform(key_of(name, (), "x"), ()) * PIXELS)).double()
