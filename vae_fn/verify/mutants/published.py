"""Faults of other programs, on the problem where they were seen: one Bernoulli variable.

z ~ Bernoulli(p), p = sigmoid(theta), cost (z - t)**2, whose gradient in theta is p (1 - p) (1 - 2 t).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from vae_fn import random
from vae_fn.gradients.oracles.moments import moments
from vae_fn.random import Noise
from vae_fn.types import Key
from vae_fn.verify.integrals import exact, exact_variance
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.two_samples import same_mean
from vae_fn.verify.verdict import Verdict

Scalar = Float64[Tensor, ""]
Cost = Callable[[Scalar], Scalar]
THETA = torch.tensor(-0.8, dtype=torch.float64)
ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
TAU = 0.5
PAIR = Noise(random.uniform, (2,))
"""The noise u and v of REBAR."""

BREAKS = torch.stack([torch.sigmoid(torch.stack([-THETA, THETA])), torch.ones(2, dtype=torch.float64)])
"""u jumps where z does, for either coupling; v does not."""


def quadratic(z: Scalar) -> Scalar:
    """The cost of Tucker et al. (2017), section 5.1."""
    return (z - 0.45) ** 2


def linear(z: Scalar) -> Scalar:
    """A cost for which a straight-through gradient is right."""
    return 0.55 * z


def log_mass(theta: Scalar, z: Scalar) -> Scalar:
    """The logarithm of P(z)."""
    return z * F.logsigmoid(theta) + (1 - z) * F.logsigmoid(-theta)


def true_gradient(cost: Cost) -> Scalar:
    """d/d theta of E cost(z), by enumeration."""
    return grad(lambda theta: log_mass(theta, ONE).exp() * cost(ONE) + log_mass(theta, ZERO).exp() * cost(ZERO))(THETA)


# --- REBAR (Tucker et al. 2017, eq. 6), and with another control variate RELAX (Grathwohl et al. 2018)


def conditional(theta: Scalar, z: Scalar, v: Scalar) -> Scalar:
    """The noise u given z, a function of theta (Tucker et al. 2017, appendix A)."""
    p = torch.sigmoid(theta)
    return z * (v * p + 1 - p) + (1 - z) * v * (1 - p)


def rebar(
    noise: Float64[Tensor, "2"],
    factor: Scalar = ONE,
    path: Scalar = ONE,
    *,
    z: Callable[[Scalar], Scalar] = lambda u: (u > torch.sigmoid(-THETA)).double(),
    live: bool = True,
) -> Scalar:
    """One draw of the gradient of E quadratic(z).

    Args:
        noise: u and v.
        factor: the weight eta of the control variate where it multiplies the score.
        path: the same weight where the control variate is differentiated.
        z: the variable as a function of u.
        live: whether the conditional noise is differentiated, as it must be.
    """
    u, v = noise
    state = z(u)

    def control(theta: Scalar, draw: Scalar) -> Scalar:
        return quadratic(torch.sigmoid((theta + torch.logit(draw)) / TAU))

    def paths(theta: Scalar, held: Scalar) -> Scalar:
        return control(theta, u) - control(theta, conditional(theta if live else held, state, v))

    signal = quadratic(state) - factor * control(THETA, conditional(THETA, state, v))
    return signal * grad(log_mass)(THETA, state) + path * grad(paths)(THETA, THETA)


def other_end(u: Scalar) -> Scalar:
    """The variable drawn from the other end of the noise than its relaxation."""
    return (u < torch.sigmoid(THETA)).double()


def _mean(**settings) -> Verdict:
    return exact(lambda noise: rebar(noise, **settings), true_gradient(quadratic), PAIR, name="rebar", breaks=BREAKS)


def _variance(**settings) -> Verdict:
    """Against the variance of the rightly coupled form, integrated at another order."""
    right = moments(rebar, PAIR, order=60, breaks=BREAKS).variance
    return exact_variance(lambda noise: rebar(noise, **settings), right, PAIR, name="rebar", breaks=BREAKS)


def _tuning(factor_is_live: bool) -> Verdict:
    """The mean gradient of ghat**2 in eta, against the difference quotient of its exact mean, a parabola in eta."""

    def squared(eta: Scalar, held: Scalar, noise: Tensor) -> Scalar:
        return rebar(noise, eta if factor_is_live else held, eta) ** 2

    high, low = (
        moments(lambda n, eta=eta: squared(eta, eta, n), PAIR, breaks=BREAKS).mean for eta in (1.5 * ONE, ONE / 2)
    )
    return exact(lambda n: grad(squared)(ONE, ONE, n), high - low, PAIR, name="rebar's tuning", breaks=BREAKS)


REBAR = (
    Mutant(
        "rebar: conditional noise held",
        "published",
        "a toy script of RELAX, where a reader of the paper found it after months",
        wrong=lambda: _mean(live=False),
        right=_mean,
    ),
    Mutant(
        "rebar: z and its relaxation coupled the other way",
        "published",
        "a script of RELAX: unbiased, with another variance",
        wrong=lambda: _variance(z=other_end),
        right=_variance,
        blind=lambda: _mean(z=other_end),
    ),
    Mutant(
        "rebar: tuned through a cut",
        "published",
        "what .detach() makes of the nested gradient that tunes the control variate",
        wrong=lambda: _tuning(factor_is_live=False),
        right=lambda: _tuning(factor_is_live=True),
        blind=_mean,
    ),
)


# --- straight-through and antithetic gradients


def straight_through(u: Float64[Tensor, "1"], cost: Cost) -> Scalar:
    """cost'(z) dp / d theta (Bengio et al. 2013): biased unless the cost is linear."""
    return grad(cost)((u[0] > torch.sigmoid(-THETA)).double()) * grad(torch.sigmoid)(THETA)


def disarm(u: Float64[Tensor, "1"], scale: Scalar) -> Scalar:
    """(f(b) - f(b~)) (-1)**b~ 1[b != b~] scale / 2, with scale = sigmoid(|theta|) (Dong et al. 2020, eq. 4)."""
    b, other = (u[0] > torch.sigmoid(-THETA)).double(), (u[0] < torch.sigmoid(THETA)).double()
    return 0.5 * (quadratic(b) - quadratic(other)) * (1 - 2 * other) * (b != other) * scale


def _one_uniform(fn: Callable[[Tensor], Scalar], cost: Cost) -> Verdict:
    return exact(fn, true_gradient(cost), Noise(random.uniform, (1,)), name="one bit", order=4, breaks=BREAKS[:1])


BITS = (
    Mutant(
        "straight-through: taken for unbiased",
        "published",
        "tests with a linear cost cannot see it",
        wrong=lambda: _one_uniform(lambda u: straight_through(u, quadratic), quadratic),
        right=lambda: _one_uniform(lambda u: straight_through(u, linear), linear),
        blind=lambda: _one_uniform(lambda u: straight_through(u, linear), linear),
    ),
    Mutant(
        "disarm: its scale missing",
        "published",
        "",
        wrong=lambda: _one_uniform(lambda u: disarm(u, ONE), quadratic),
        right=lambda: _one_uniform(lambda u: disarm(u, torch.sigmoid(THETA.abs())), quadratic),
    ),
)


# --- Gumbel-Rao (Paulus et al. 2021) has the mean of straight-through Gumbel-softmax

LOGITS = torch.tensor([0.5, -0.2, 0.9], dtype=torch.float64)
COST = torch.tensor([1.0, -0.7, 0.3], dtype=torch.float64)


def _class_cost(onehot: Float64[Tensor, "3"]) -> Scalar:
    return (onehot @ COST) ** 2


def _upstream(chosen: Float64[Tensor, "3"], soft: Callable[..., Tensor], held: Tensor) -> Float64[Tensor, "3"]:
    """The cost's gradient at the drawn class, pulled through the softmax."""
    return grad(lambda theta: grad(_class_cost)(chosen) @ soft(theta, held))(LOGITS)


def straight_through_gumbel(gumbel: Float64[Tensor, "3"]) -> Float64[Tensor, "3"]:
    """The class of the largest perturbed logit, with the gradient of its softmax (Jang et al. 2017)."""
    chosen = F.one_hot((LOGITS + gumbel).argmax(), 3).double()
    return _upstream(chosen, lambda theta, held: torch.softmax((theta + gumbel) / 0.7, -1), LOGITS)


def gumbel_rao(noise: dict[str, Tensor], live: bool) -> Float64[Tensor, "3"]:
    """One conditional draw of the Gumbels given the class; they are held, which `live` gets wrong."""
    i = (LOGITS + noise["class"]).argmax()
    waits, chosen = torch.exp(-noise["conditional"]), F.one_hot(i, 3).double()

    def soft(theta: Tensor, held: Tensor) -> Tensor:
        at = theta if live else held
        first = (waits * chosen).sum() / torch.logsumexp(at, -1).exp()
        perturbed = torch.where(chosen > 0, -torch.log(first), -torch.log(waits / at.exp() + first))
        return torch.softmax((perturbed if live else theta + perturbed - held) / 0.7, -1)

    return _upstream(chosen, soft, LOGITS)


def _same_as_gumbel(live: bool) -> Verdict:
    def draw(key: Key, count: int) -> Tensor:
        noise = {"class": Noise(random.gumbel, (count, 3)), "conditional": Noise(random.gumbel, (count, 3))}
        return torch.vmap(lambda n: gumbel_rao(n, live))(random.draw(key, noise, torch.float64))

    def reference(key: Key, count: int) -> Tensor:
        return torch.vmap(straight_through_gumbel)(random.gumbel(key, (count, 3), torch.float64))

    return same_mean(draw, reference, name="gumbel-rao and straight-through gumbel")


GUMBEL = (
    Mutant(
        "gumbel-rao: differentiated through the conditional noise",
        "published",
        "the form of the paper's text, as a re-implementation noted",
        wrong=lambda: _same_as_gumbel(live=True),
        right=lambda: _same_as_gumbel(live=False),
    ),
)

MUTANTS = (*REBAR, *BITS, *GUMBEL)
